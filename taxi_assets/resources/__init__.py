"""The resources of the assets: each does the I/O with one system and is independent of the assets."""
