"""Where examples come from, and the protocol under which they are seen."""
