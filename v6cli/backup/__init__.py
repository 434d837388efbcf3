"""Backups: consistent, opened to prove them, and pruned without losing the last good one. A restore builds on ``extract`` and ``verify``."""
