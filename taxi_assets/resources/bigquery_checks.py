"""What makes a BigQuery dataset or table unfit for months that must stay; pure, on Google's descriptions of them."""

from collections.abc import Iterator, Mapping

from google.cloud import bigquery

_DAY_MS = 86_400_000
# Standard SQL's names of the types that the API reports under their old ones.
_TYPES: Mapping[str, str] = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}


def dataset_problem(found: bigquery.Dataset, location: str | None) -> str | None:
    """Return in one sentence why months cannot be kept in the dataset, or None."""
    name = f"{found.project}.{found.dataset_id}"
    if location and found.location and found.location.upper() != location.upper():
        return (
            f"The BigQuery dataset {name} is in {found.location} and not in {location}; set TAXI_BIGQUERY_LOCATION "
            f"to {found.location}."
        )
    expiries = {
        "default_table_expiration": found.default_table_expiration_ms,
        "default_partition_expiration": found.default_partition_expiration_ms,
    }
    for option, milliseconds in expiries.items():
        if milliseconds:
            return (
                f"The BigQuery dataset {name} has a {option.replace('_', ' ')} of {_days(milliseconds)}, after which "
                f"loaded months would vanish; remove it with `bq update --{option} 0 {found.project}:"
                f"{found.dataset_id}` (a sandbox without billing always has one), or set TAXI_BIGQUERY_DATASET to a "
                "dataset without."
            )
    return None


def table_problem(found: bigquery.Table, wanted: bigquery.Table) -> str | None:
    """Return in one sentence why the table cannot hold what `wanted` describes, or None.

    Missing columns are no problem, since they are added.
    """
    name = f"{found.project}.{found.dataset_id}.{found.table_id}"
    differences = list(_differences(found, wanted))
    if not differences:
        return None
    return (
        f"The BigQuery table {name} was not made by this project or was changed: {'; '.join(differences)}. Rename or "
        "drop it, mend it, or set TAXI_BIGQUERY_DATASET to another dataset."
    )


def _differences(found: bigquery.Table, wanted: bigquery.Table) -> Iterator[str]:
    if found.table_type not in (None, "TABLE"):
        yield f"it is a {found.table_type.lower().replace('_', ' ')} and not a table"
        return
    if found.expires:
        yield f"it expires at {found.expires:%Y-%m-%d %H:%M} UTC, and none of its rows would stay"
    yield from _partitioning_differences(found.time_partitioning, wanted.time_partitioning)
    if found.range_partitioning:
        yield f"it is partitioned by ranges of {found.range_partitioning.field}"
    expected = {field.name.lower(): _type(field) for field in wanted.schema}
    for field in found.schema:
        if field.name.lower() not in expected:
            if field.mode == "REQUIRED":
                yield f"its column {field.name} must have a value, which no month has"
        elif _type(field) != expected[field.name.lower()]:
            yield f"its column {field.name} is {_type(field)} and not {expected[field.name.lower()]}"


def _partitioning_differences(
    found: bigquery.TimePartitioning | None, wanted: bigquery.TimePartitioning | None
) -> Iterator[str]:
    if found and found.expiration_ms:
        yield f"its partitions expire after {_days(found.expiration_ms)}"
    if wanted and _partitioning(found) != _partitioning(wanted):
        yield f"it is {_partitioning(found)} and not {_partitioning(wanted)}"


def _partitioning(partitioning: bigquery.TimePartitioning | None) -> str:
    if partitioning is None:
        return "not partitioned by time"
    return f"partitioned by {partitioning.type_} of {partitioning.field or 'the time of loading'}"


def _type(field: bigquery.SchemaField) -> str:
    name = _TYPES.get(field.field_type, field.field_type)
    return f"ARRAY<{name}>" if field.mode == "REPEATED" else str(name)


def _days(milliseconds: int) -> str:
    return f"{milliseconds / _DAY_MS:g} days"
