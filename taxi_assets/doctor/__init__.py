"""Checks of what a load will need, for `taxi doctor`: each is bounded in time, and none raises."""
