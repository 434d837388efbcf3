"""The state: one SQLite file of what must be true now. What was is in ``v6cli.lake``."""
