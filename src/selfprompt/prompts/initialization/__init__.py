"""Where prompts start: one file a place."""
