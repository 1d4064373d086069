"""How a source becomes a tensor: one file a kind of input."""
