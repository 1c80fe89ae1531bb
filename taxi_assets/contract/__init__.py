"""What a row is: datasets, columns, rules, table and object names. Pure: no Dagster, no network."""
