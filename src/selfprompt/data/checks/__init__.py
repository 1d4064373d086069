"""A look at data before training: examples that are there twice, and labels that look wrong."""
