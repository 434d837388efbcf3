"""v6 alerts: what the operator should know."""
