"""The duration model: how long a trip from one zone to another will take. Pure: no Dagster, no network."""
