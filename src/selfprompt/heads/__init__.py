"""What turns features into scores: one file an answer."""
