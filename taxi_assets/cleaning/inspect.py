"""What a raw file is and what would become of its rows, before anything is loaded: `taxi inspect`.

The numbers are the pipeline's own: the file is cleaned into a temporary folder that is then removed.
"""

import re
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.cleaning.layout import guess_dataset
from taxi_assets.cleaning.reading import header_of, open_raw
from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.datasets import dataset as dataset_named
from taxi_assets.contract.object_names import SUFFIXES
from taxi_assets.errors import BadFileError, SettingsError
from taxi_assets.months import month_text, parse_month

_DATASET = re.compile(rf"(?<![a-z])({'|'.join(DATASETS)})(?![a-z])")
_MONTH = re.compile(r"(?<![0-9])20[0-9]{2}-[0-9]{2}(?![0-9])")


def inspect_file(path: Path, dataset: str | None = None, month: str | None = None) -> dict[str, Any]:
    """Describe a raw file as values that JSON can hold.

    Dataset and month are the arguments, or else taken from the file's name; the dataset is
    otherwise found by the columns. `columns` gives each published name with its
    canonical column, None where the contract ignores it; `absent` are canonical columns that will be NULL.

    Raises:
        SettingsError: The dataset or the month cannot be determined, or does not exist.
        BadFileError, ContractError: The file cannot be read, or not as that dataset.
    """
    if not path.is_file():
        raise BadFileError(f"{path} is not a file; give the path of a raw file on this machine.")
    if not path.name.endswith(SUFFIXES):
        raise BadFileError(f"{path.name} ends in none of {', '.join(SUFFIXES)}, which determine its format.")
    chosen = _dataset(path, dataset)
    first_day = _month(path, month)
    chosen.check_month(first_day)
    layout = open_raw(path, chosen).layout
    with tempfile.TemporaryDirectory(prefix="taxi-inspect-") as folder:
        *_, manifest = clean_file(path, chosen, first_day, Path(folder))
    present = {column.name for column in layout.columns if column is not None}
    return {
        "file": path.name,
        "dataset": chosen.name,
        "month": month_text(first_day),
        "layout": {"format": layout.format, "columns": len(layout.header), "fields": layout.fields},
        "rows": manifest.raw_rows,
        "kept": manifest.kept.rows,
        "rejected": manifest.rejected,
        "flagged": manifest.flagged,
        "columns": [
            {"published": name, "column": None if column is None else column.name}
            for name, column in zip(layout.header, layout.columns, strict=True)
        ],
        "absent": [column.name for column in chosen.schema.published if column.name not in present],
    }


def _dataset(path: Path, name: str | None) -> Dataset:
    if name is not None:
        return dataset_named(name)
    if named := _DATASET.search(path.name.lower()):
        return DATASETS[named[1]]
    guessed = guess_dataset(header_of(path))
    if guessed is None:
        raise SettingsError(
            f"Neither the name nor the columns of {path.name} show which dataset it is; add --dataset with one of "
            f"{', '.join(DATASETS)}."
        )
    return guessed


def _month(path: Path, name: str | None) -> date:
    if name is not None:
        return parse_month(name)
    named = _MONTH.search(path.name)
    if not named:
        raise SettingsError(f"The name of {path.name} does not show which month it is; add --month, such as 2020-04.")
    return parse_month(named[0])


def as_text(found: Mapping[str, Any]) -> str:
    """Return the findings as text for a terminal."""
    layout = found["layout"]
    fields = "" if layout["fields"] == layout["columns"] else f", {layout['fields']} fields in a row"
    width = max(len(column["published"]) for column in found["columns"])
    lines = [
        f"{found['file']}: {found['dataset']} {found['month']}, {layout['format']}, "
        f"{layout['columns']} columns{fields}",
        "",
        "COLUMNS, as published and as kept",
        *(f"  {c['published']:<{width}}  {c['column'] or '(ignored)'}" for c in found["columns"]),
        f"NULL, since the file has none: {', '.join(found['absent']) or 'none'}",
        "",
        "ROWS",
        *_counts({"in the file": found["rows"], "kept": found["kept"]}),
        "REJECTED, by the first rule that a row breaks",
        *_counts(found["rejected"]),
        "FLAGGED, but not rejected for that",
        *_counts(found["flagged"]),
    ]
    return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> list[str]:
    return [f"  {name:<22} {count:>12,}" for name, count in counts.items()]
