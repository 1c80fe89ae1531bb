"""Monthly partitions: a partition is the month of a source file, its key the first day, `2020-04-01`."""

import dagster as dg

from taxi_assets.contract.datasets import Dataset


def monthly(dataset: Dataset) -> dg.MonthlyPartitionsDefinition:
    """Return the dataset's months, from its first to the last that has ended."""
    return dg.MonthlyPartitionsDefinition(start_date=dataset.first_month.isoformat(), timezone="America/New_York")
