"""Which sensor lies."""
