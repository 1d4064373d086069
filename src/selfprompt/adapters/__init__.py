"""The adapter: its files, and the card beside them."""
