"""v6 emergency: what to do when everything has to stop."""
