"""The data contract of a dataset for people and programs: as plain data, as text, and as docs/data.md.

Nothing is decided here; all of it is derived from the schemas and the rules.
`python -m taxi_assets.contract.document` writes docs/data.md anew.
"""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.rules import UNREADABLE
from taxi_assets.contract.schemas import (
    BIGQUERY_TYPES,
    CONTRACT_VERSION,
    IGNORED_COLUMNS,
    POSTGRES_TYPES,
    REJECTED_SCHEMA,
    Column,
)
from taxi_assets.months import month_text
from taxi_assets.settings import PROJECT_ROOT

DOCS = PROJECT_ROOT / "docs" / "data.md"
WIDTH = 110

INTRODUCTION = f"""\
# The data contract

Every month that TLC ever published, in whatever layout, comes out with the columns below, in this order, in Parquet,
BigQuery and PostgreSQL. `taxi contract DATASET` prints the same, `taxi inspect FILE` shows how a file maps onto it.
This is contract version {CONTRACT_VERSION}.

This file is generated: change `taxi_assets/contract/schemas.py` or `taxi_assets/contract/rules.py`, then run
`python -m taxi_assets.contract.document`.

## What holds for every dataset

- Published columns are matched by name, never by position; upper and lower case, spaces around a name and quotes do
  not matter. *Also published as* lists the names besides the column's own; where a file has two of them, they are tried
  in that order, and a row in which they contradict each other is unreadable.
- A column that a file does not have is NULL. A column that the contract does not know stops the month, and so does a
  missing one that it requires.
- Times are New York wall-clock times without a zone. Empty and blank text is NULL.
- A number is finite and smaller than a billion, a time has a year from 1 to 9999, text is UTF-8; a row with any other
  value is unreadable.
- Every raw row is either kept, or rejected by the first rule that it breaks. Rejected rows are stored beside the kept
  ones with their reason. Negative amounts are refunds and stay.
- Quality flags are only counted: no row is rejected for a flag alone.

## Files that TLC did not write

`taxi inspect FILE` shows what would be read of a file, `--rejected OUT.parquet` writes its rejected rows. The forms of
its values are taken from its first 64 KiB; a later value in another form makes its row unreadable.

| in the file | what happens |
|---|---|
| `04/01/2020 12:15:56 AM`, `4/1/2020 1:05 PM`, `2020-04-01T00:15:56.123` | read; parts of a microsecond are dropped |
| `7/1/2021 0:30` | read if one row of the file shows which is the day; else the month stops |
| times with a zone, `-04:00` or `America/Chicago` | converted to New York wall-clock time |
| times marked UTC, also `Z` and `+00:00` | the month stops with both readings; choose by `zoned_times` |
| `nan`, `NULL`, `None`, `NA`, `N/A`, `\\N` and NaN | NULL; `NA` stays the payment 5 if no other column has it |
| `true`, `t`, `yes` and Parquet's BOOL in a flag | `Y` or `N` |
| `1.0` for a whole number, `"1,234.5"`, `$5` | read; `1,5` too if tabs or semicolons separate the fields |
| tabs, semicolons or bars between the fields; UTF-16 | read |
| names as NYC Open Data, Azure and BigQuery write them, `puLocationId`, `rate_code_id` | read |
| columns that carry nothing of a trip (below) | ignored, and named |
| other columns | the month stops and names them; `unknown_columns` loads it without |
| lists, structs, times of day, seconds since 1970, other kinds of file | refused in one sentence |

| setting | values |
|---|---|
| `zoned_times`, TAXI_ZONED_TIMES, `--zoned-times` | `convert`: it is UTC; `as_wall_clock`: New York's, marked UTC |
| `unknown_columns`, TAXI_UNKNOWN_COLUMNS, `--unknown-columns` | `freeze` (default) stops, `discard` leaves them out |

Ignored are columns without a name, `Unnamed: 0`, `level_0`, `__index_level_0__` and such with other numbers, and
{", ".join(f"`{name}`" for name in sorted(IGNORED_COLUMNS) if name)}.

A run's config has both, which win over the variables. If a check stops a month, its rejected rows are in
`rejected/<dataset>/stopped/` until the next success.

A rejected row has these columns:

| column | type | meaning |
|---|---|---|
"""


def contract(dataset: Dataset) -> dict[str, Any]:
    """Return the contract as values that JSON can hold."""
    return {
        "dataset": dataset.name,
        "title": dataset.title,
        "first_month": month_text(dataset.first_month),
        "contract_version": CONTRACT_VERSION,
        "columns": [_column(column, month_text(dataset.first_month)) for column in dataset.schema.columns],
        "rules": [
            {
                "order": order,
                "name": rule.name,
                "description": rule.description,
                "can_be_switched_off": rule.name != UNREADABLE,
            }
            for order, rule in enumerate(dataset.rules, start=1)
        ],
        "quality_flags": [{"name": flag.name, "description": flag.description} for flag in dataset.quality_flags],
        "usual_rejects": dataset.usual_rejects,
        "too_many_rejects": dataset.too_many_rejects,
    }


def _column(column: Column, first_month: str) -> dict[str, Any]:
    return {
        "name": column.name,
        "arrow_type": str(column.type),
        "postgres_type": POSTGRES_TYPES[column.type],
        "bigquery_type": BIGQUERY_TYPES[column.type],
        "unit": column.unit,
        "description": column.description,
        "aliases": list(column.aliases),
        "codes": dict(column.codes),
        "since": column.since if column.since and column.since > first_month else None,
        "until": column.until,
        "required": column.required,
    }


def as_text(found: Mapping[str, Any]) -> str:
    """Return a contract as text for a terminal."""
    lines = [
        f"{found['dataset']}: {found['title']}",
        f"First month {found['first_month']}; contract version {found['contract_version']}.",
        "",
        "COLUMNS",
    ]
    for column in found["columns"]:
        types = f"{column['arrow_type']}, PostgreSQL {column['postgres_type']}, BigQuery {column['bigquery_type']}"
        lines.append(f"{column['name']}  ({'; '.join([types, *_limits(column)])})")
        lines += _indented(column["description"])
        if column["aliases"]:
            lines += _indented(f"Also published as: {', '.join(column['aliases'])}.")
        if column["codes"]:
            lines += _indented(f"Codes: {_codes(column)}.")
    lines += ["", "RULES, in the order in which they are tried; the first that a row breaks rejects it"]
    for rule in found["rules"]:
        lines.append(f"{rule['order']}. {rule['name']}{'' if rule['can_be_switched_off'] else '  (always on)'}")
        lines += _indented(rule["description"])
    lines += [f"Above {_shares(found)}.", "", "QUALITY FLAGS, counted but not rejected"]
    for flag in found["quality_flags"]:
        lines.append(flag["name"])
        lines += _indented(flag["description"])
    return "\n".join(lines)


def as_markdown(found: Mapping[str, Any]) -> str:
    """Return a contract as a section of docs/data.md."""
    lines = [
        f"## {found['dataset']}",
        "",
        f"{found['title']}. First month: {found['first_month']}.",
        "",
        "| column | Parquet | PostgreSQL | BigQuery | meaning | also published as |",
        "|---|---|---|---|---|---|",
    ]
    for column in found["columns"]:
        meaning = [column["description"], *(f"{limit[0].upper()}{limit[1:]}." for limit in _limits(column))]
        if column["codes"]:
            meaning.append(f"Codes: {_codes(column)}.")
        types = (column["arrow_type"], column["postgres_type"], column["bigquery_type"])
        aliases = ", ".join(f"`{alias}`" for alias in column["aliases"])
        lines.append("| " + " | ".join((f"`{column['name']}`", *types, " ".join(meaning), aliases)) + " |")
    lines += ["", "Rows are rejected by the first of these rules that they break:", ""]
    for rule in found["rules"]:
        always = "" if rule["can_be_switched_off"] else " It cannot be switched off."
        lines.append(f"{rule['order']}. `{rule['name']}`: {rule['description']}{always}")
    lines += [
        "",
        f"Above {_shares(found)}.",
        "",
        "Quality flags are counted over all readable rows; none rejects a row:",
        "",
    ]
    lines += [f"- `{flag['name']}`: {flag['description']}" for flag in found["quality_flags"]]
    return "\n".join(lines)


def document() -> str:
    """Return docs/data.md."""
    rejected = []
    for field in REJECTED_SCHEMA:
        meaning = (field.metadata or {}).get(b"description", b"As in the kept rows.").decode()
        rejected.append(f"| `{field.name}` | {field.type} | {meaning} |")
    sections = [as_markdown(contract(dataset)) for dataset in DATASETS.values()]
    return INTRODUCTION + "\n".join(rejected) + "\n\n" + "\n\n".join(sections) + "\n"


def write_docs(path: Path = DOCS) -> None:
    """Write docs/data.md."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(document(), encoding="utf-8")


def _limits(column: Mapping[str, Any]) -> list[str]:
    limits = []
    if column["unit"]:
        limits.append(f"unit {column['unit']}")
    if column["required"]:
        limits.append("every file must have it" if column["name"] != "source_month" else "never NULL")
    if column["since"]:
        limits.append(f"in files from {column['since']} on")
    if column["until"]:
        limits.append(f"in files until {column['until']}")
    return limits


def _codes(column: Mapping[str, Any]) -> str:
    return ", ".join(f"{text} = {value}" for text, value in column["codes"].items())


def _shares(found: Mapping[str, Any]) -> str:
    usual, many = found["usual_rejects"], found["too_many_rejects"]
    return f"{usual:.0%} rejected rows in a month a check warns; above {many:.0%} it stops the month"


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


if __name__ == "__main__":
    write_docs()
