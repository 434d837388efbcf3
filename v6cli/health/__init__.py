"""Is it well: facts gathered once, judged by pure functions."""
