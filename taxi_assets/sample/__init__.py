"""Test data in TLC's format, made on this machine."""
