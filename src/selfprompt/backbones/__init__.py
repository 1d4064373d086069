"""Frozen transformers, seen as a stream of tokens; README.md says why the seam is where it is."""

from selfprompt import registry

RECORDS = registry.walk(__name__)
"""The packaged ones."""
