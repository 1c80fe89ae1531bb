"""What a raw file is and what would become of its rows, before anything is loaded: `taxi inspect`.

The numbers are the pipeline's own: the file is cleaned into a temporary folder that is then removed.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.cleaning.layout import DEFAULTS, SEPARATORS, guess_dataset
from taxi_assets.cleaning.options import ReadingOptions
from taxi_assets.cleaning.reading import header_of, open_raw
from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.datasets import dataset as dataset_named
from taxi_assets.contract.manifest import EXCEL_LINES, Cause, is_cut_by_excel
from taxi_assets.contract.object_names import SUFFIXES
from taxi_assets.errors import BadFileError, SettingsError
from taxi_assets.months import month_text, parse_month

_DATASET = re.compile(rf"(?<![a-z])({'|'.join(DATASETS)})(?![a-z])")
_MONTH = re.compile(r"(?<![0-9])20[0-9]{2}-[0-9]{2}(?![0-9])")


def inspect_file(
    path: Path,
    dataset: str | None = None,
    month: str | None = None,
    options: ReadingOptions = DEFAULTS,
    rejected_to: Path | None = None,
) -> dict[str, Any]:
    """Describe a raw file as values that JSON can hold.

    Dataset and month are the arguments, or else taken from the file's name; the dataset is
    otherwise found by the columns. `columns` gives each published name with its
    canonical column, None where the contract ignores it; `absent` are canonical columns that will be NULL.
    `causes` are the most frequent ones of unreadable rows. The rejected rows are written to `rejected_to`.

    Raises:
        SettingsError: The dataset or the month cannot be determined, or does not exist.
        BadFileError, ContractError: The file cannot be read, or not as that dataset.
    """
    if not path.is_file():
        raise BadFileError(f"{path} is not a file; give the path of a raw file on this machine.")
    if not path.name.endswith(SUFFIXES):
        raise BadFileError(f"{path.name} ends in none of {', '.join(SUFFIXES)}, which determine its format.")
    chosen = _dataset(path, dataset, options)
    first_day = _month(path, month)
    chosen.check_month(first_day)
    if rejected_to is not None:
        _check_target(rejected_to, path)
    layout = open_raw(path, chosen, options).layout
    with tempfile.TemporaryDirectory(prefix="taxi-inspect-") as folder:
        _, rejected, manifest = clean_file(path, chosen, first_day, Path(folder), options=options)
        if rejected_to is not None:
            _copy(rejected, rejected_to)
    present = {column.name for column in layout.columns if column is not None}
    return {
        "file": path.name,
        "dataset": chosen.name,
        "month": month_text(first_day),
        "layout": {
            "format": layout.format,
            "columns": len(layout.header),
            "fields": layout.fields,
        },
        "separator": SEPARATORS[layout.separator] if layout.format != "parquet" else None,
        "rows": manifest.raw_rows,
        "kept": manifest.kept.rows,
        "rejected": manifest.rejected,
        "flagged": manifest.flagged,
        "causes": [asdict(cause) for cause in manifest.causes],
        "zones": manifest.zones,
        "zoned_times": manifest.zoned_times,
        "ignored": manifest.ignored,
        "discarded": manifest.discarded,
        "is_cut": is_cut_by_excel(manifest),
        "columns": [
            {"published": name, "column": None if column is None else column.name}
            for name, column in zip(layout.header, layout.columns, strict=True)
        ],
        "absent": [column.name for column in chosen.schema.published if column.name not in present],
    }


def _check_target(target: Path, source: Path) -> None:
    """Check before the work that the rejected rows can be written to the target."""
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise SettingsError(f"{target} is no file in a folder that is there; give --rejected the path of a new file.")
    if target.exists() and target.samefile(source):
        raise SettingsError(f"{target} is the file to inspect; give --rejected another path.")


def _copy(rejected: Path, target: Path) -> None:
    try:
        shutil.copyfile(rejected, target)
    except OSError as error:
        raise SettingsError(f"{target} cannot be written ({error.strerror}); give --rejected another path.") from error


def _dataset(path: Path, name: str | None, options: ReadingOptions) -> Dataset:
    if name is not None:
        return dataset_named(name)
    if named := _DATASET.search(path.name.lower()):
        return DATASETS[named[1]]
    guessed = guess_dataset(header_of(path), options.unknown_columns)
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
    separated = f" separated by {found['separator']}s" if found["separator"] not in (None, "comma") else ""
    fields = "" if layout["fields"] == layout["columns"] else f", {layout['fields']} fields in a row"
    width = max(len(_name(column["published"])) for column in found["columns"])
    not_loaded = dict.fromkeys(found["ignored"], "(ignored)") | dict.fromkeys(found["discarded"], "(discarded)")
    lines = [
        f"{found['file']}: {found['dataset']} {found['month']}, {layout['format']}{separated}, "
        f"{layout['columns']} columns{fields}",
        "",
        "COLUMNS, as published and as kept",
        *(f"  {_name(c['published']):<{width}}  {c['column'] or not_loaded[c['published']]}" for c in found["columns"]),
        f"NULL, since the file has none: {', '.join(found['absent']) or 'none'}",
        *_notes(found),
        "",
        "ROWS",
        *_counts({"in the file": found["rows"], "kept": found["kept"]}),
        "REJECTED, by the first rule that a row breaks",
        *_counts(found["rejected"]),
    ]
    if found["causes"]:
        lines += ["UNREADABLE, the most frequent causes", *(f"  {Cause(**cause)}" for cause in found["causes"])]
    lines += ["FLAGGED, but not rejected for that", *_counts(found["flagged"])]
    return "\n".join(lines)


def _name(published: str) -> str:
    return published or "(no name)"


def _notes(found: Mapping[str, Any]) -> list[str]:
    """Return what is unusual about the file."""
    notes = []
    for what in ("ignored", "discarded"):
        if found[what]:
            notes.append(f"{what.capitalize()}: {', '.join(_name(name) for name in found[what])}")
    if found["zones"]:
        how = {
            None: "converted to New York time",
            "convert": "converted to New York time, UTC too",
            "as_wall_clock": "those marked UTC taken as New York time as they stand",
        }[found["zoned_times"]]
        notes.append(f"Time zones: {', '.join(found['zones'])}; {how}")
    if found["is_cut"]:
        notes.append(f"Cut: it has {EXCEL_LINES:,} lines, the most that Excel keeps; take the whole file")
    return notes


def _counts(counts: Mapping[str, int]) -> list[str]:
    return [f"  {name:<22} {count:>12,}" for name, count in counts.items()]
