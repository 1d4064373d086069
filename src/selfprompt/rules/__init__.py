"""How and when prompts are moved: one file a rule."""
