"""The only room that talks to IB."""
