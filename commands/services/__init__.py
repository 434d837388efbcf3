"""v6 services: start, stop and look at the services of a home."""
