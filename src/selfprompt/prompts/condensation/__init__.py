"""How many prompts are kept: one file a way; where there is none, all are."""
