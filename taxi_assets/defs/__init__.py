"""All Dagster definitions: assets, checks, jobs, schedules and sensors."""
