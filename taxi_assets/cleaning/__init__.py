"""One raw file in, two Parquet files out: kept rows in the contract's schema, rejected rows with their reasons."""
