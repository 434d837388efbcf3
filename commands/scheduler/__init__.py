"""v6 scheduler: the services' own work."""
