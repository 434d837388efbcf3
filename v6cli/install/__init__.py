"""Putting v6 on a machine: homes, and later users, units and versions."""
