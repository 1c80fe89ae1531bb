"""The command `taxi`."""
