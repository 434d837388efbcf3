"""The terminal: everything v6 shows or asks."""
