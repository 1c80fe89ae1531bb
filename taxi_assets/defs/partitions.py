"""Monthly partitions: a partition is the month of a source file, its key the first day, `2020-04-01`."""

from dagster import MonthlyPartitionsDefinition

from taxi_assets.contract.datasets import Dataset


def monthly(dataset: Dataset) -> MonthlyPartitionsDefinition:
    """The dataset's months, from its first to the last that has ended."""
    return MonthlyPartitionsDefinition(start_date=dataset.first_month.isoformat(), timezone="America/New_York")
