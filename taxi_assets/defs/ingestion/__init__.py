"""The sensors that request new and changed months from the source."""
