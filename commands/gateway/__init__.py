"""v6 gateway: the simulated IB gateway."""
