"""Reports: the rows of marts as charts and pages. Pure; nothing here imports Dagster or opens a connection."""
