"""Partitions: the month of a source file, its key the first day, `2020-04-01`; and the years of history, `2020`."""

import dagster as dg

from taxi_assets.contract.datasets import Dataset


def monthly(dataset: Dataset) -> dg.MonthlyPartitionsDefinition:
    """Return the dataset's months, from its first to the last that has ended."""
    return dg.MonthlyPartitionsDefinition(start_date=dataset.first_month.isoformat(), timezone="America/New_York")


def yearly(dataset: Dataset) -> dg.TimeWindowPartitionsDefinition:
    """Return the years of the dataset's months, from the first to the current one."""
    return dg.TimeWindowPartitionsDefinition(
        start=str(dataset.first_month.year),
        fmt="%Y",
        cron_schedule="0 0 1 1 *",
        timezone="America/New_York",
        end_offset=1,
    )
