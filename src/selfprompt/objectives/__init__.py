"""What moves the prompts: one file a loss."""
