"""Changes of the tables in PostgreSQL by numbered steps; BigQuery's follow the contract at every load.

Steps are made here and not with Alembic, which Dagster brings: it would have every column said a second time, in
SQLAlchemy's types and frozen by revision, where the contract is to be the one description of a table.
"""
