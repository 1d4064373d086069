"""How prompts meet the tokens: one file a way."""
