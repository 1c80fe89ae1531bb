"""The dbt project of everything derived from trips, and how it runs."""
