"""The book as the operator sees it: grouped, rolled up, measured against limits."""
