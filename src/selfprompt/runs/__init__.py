"""What commands do, one file a verb."""
