"""v6 config: settings of a home."""
