"""Positions from IB into lake and state."""
