"""The lake: Delta tables of what was. What must be true now lives in the latch and in ``v6cli.state``."""
