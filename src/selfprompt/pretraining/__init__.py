"""How the packaged backbones are made."""
