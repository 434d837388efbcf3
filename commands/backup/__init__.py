"""v6 backup: make backups, prove them, prune them."""
