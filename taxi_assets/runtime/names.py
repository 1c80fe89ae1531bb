"""Build the names that Dagster stores and that are looked up later, without importing Dagster."""


def month_job_name(dataset: str) -> str:
    """Return the name of the job that loads one month of the dataset."""
    return f"{dataset}_month_job"


def reconciliation_key(dataset: str) -> list[str]:
    """Return the key of the asset that compares the source, the lake and the warehouses for the dataset."""
    return ["operations", f"{dataset}_reconciliation"]
