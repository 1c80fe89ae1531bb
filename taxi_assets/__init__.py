"""Taxi Assets: New York's taxi trip records as Dagster assets, from published file to warehouse."""

__version__ = "0.1.0"
