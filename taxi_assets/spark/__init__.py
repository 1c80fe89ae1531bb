"""All of history on Spark: one script, what it is given, and where it runs."""
