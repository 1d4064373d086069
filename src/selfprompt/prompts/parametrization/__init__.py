"""What prompts are made of: one file a way; where there is none, they are free."""
