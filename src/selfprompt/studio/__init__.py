"""Pages in a browser for what the commands do: from data to an adapter, and what was made so far."""
