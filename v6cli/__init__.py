"""v6: the operator's console of an options-trading bot on Interactive Brokers."""

__version__ = "0.1.0"
