"""What is trained: prompts, where they start, how they meet the tokens, how many are kept."""
