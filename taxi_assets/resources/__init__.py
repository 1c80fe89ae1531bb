"""The resources that assets are given: each does the I/O with one system and knows nothing of Dagster's assets."""
