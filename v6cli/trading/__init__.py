"""What sends orders, and what sees them to their end. It depends on IB and on the state alone, never on the lake."""
