"""v6 orders: what works at the gateway, and what became of v6's own orders."""
