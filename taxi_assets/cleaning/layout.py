"""How a published file is laid out: its format, its columns as named, and the canonical column of each. Pure."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.schemas import IGNORED_COLUMNS, Column
from taxi_assets.errors import BadFileError, ContractError


@dataclass(frozen=True)
class Layout:
    """The columns of one file.

    `header` holds the names as published; `columns` the canonical column of each, None where the
    contract ignores it. `fields` is the number of fields in a CSV row, more than the header has
    where rows end in extra commas.
    """

    format: str
    header: tuple[str, ...]
    columns: tuple[Column | None, ...]
    fields: int

    def sources(self, column: Column) -> list[int]:
        """Positions of the published columns that feed a canonical one, the one that wins first."""
        names = (column.name, *column.aliases)
        found = [i for i, c in enumerate(self.columns) if c is not None and c.name == column.name]
        return sorted(found, key=lambda i: names.index(normalize(self.header[i])))


def normalize(name: str) -> str:
    """Return a published column name as the contract's aliases are written."""
    return name.strip().strip('"').strip().lower()


def map_columns(dataset: Dataset, header: Sequence[str]) -> tuple[Column | None, ...]:
    """Return the canonical column of each published name.

    Raises:
        ContractError: A name that the contract does not know, a name that comes twice, or a missing
            column that it requires.
    """
    aliases = dataset.schema.aliases
    unknown = [name for name in header if normalize(name) not in aliases and normalize(name) not in IGNORED_COLUMNS]
    if unknown:
        raise ContractError(
            f"The file has {_names(unknown)}, which the contract of {dataset.name} does not know; if TLC added "
            f"it, add it to the {dataset.name} schema in "
            "taxi_assets/contract/schemas.py, as a column or an alias of one."
        )
    twice = [name for name, count in Counter(normalize(name) for name in header).items() if count > 1]
    if twice:
        raise ContractError(
            f"The file has {_names(twice)} more than once, so its columns cannot be distinguished by name."
        )
    columns = tuple(aliases.get(normalize(name)) for name in header)
    found = {column.name for column in columns if column is not None}
    missing = [c.name for c in dataset.schema.published if c.required and c.name not in found]
    if missing:
        raise ContractError(
            f"The file lacks {_names(missing)}, which the contract of {dataset.name} requires; its columns are "
            f"{', '.join(header)}. If TLC renamed it, add the new name to its aliases in "
            "taxi_assets/contract/schemas.py."
        )
    return columns


def csv_layout(dataset: Dataset, format_: str, head: bytes) -> Layout:
    """Return the layout of a CSV whose first bytes are `head`.

    Raises:
        BadFileError: There is no header.
        ContractError: See `map_columns`.
    """
    header = csv_header(head)
    lines = _text_lines(head)[1:]
    # Line by line: an unbalanced quote must not swallow the lines after it.
    widths = Counter(len(split_line(line)) for line in lines[:-1] or lines)
    fields = widths.most_common(1)[0][0] if widths else len(header)
    return Layout(format_, header, map_columns(dataset, header), max(fields, len(header)))


def csv_header(head: bytes) -> tuple[str, ...]:
    """Return the column names of a CSV whose first bytes are `head`.

    Raises:
        BadFileError: There is no header.
    """
    lines = _text_lines(head)
    if not lines:
        raise BadFileError("The file is empty: not even a header was found.")
    header = split_line(lines[0])
    # Trailing commas in the header name nothing.
    while header and not header[-1].strip():
        header.pop()
    return tuple(header)


def split_line(line: str) -> list[str]:
    """Return the fields of one line of a CSV; none if they are ambiguous, as with a carriage return inside."""
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _text_lines(head: bytes) -> list[str]:
    return [line for line in head.decode("utf-8-sig", "replace").splitlines() if line.strip()]


def guess_dataset(header: Sequence[str]) -> Dataset | None:
    """Return the dataset whose contract has all the names, if there is exactly one."""
    fitting = []
    for dataset in DATASETS.values():
        try:
            map_columns(dataset, header)
        except ContractError:
            continue
        fitting.append(dataset)
    return fitting[0] if len(fitting) == 1 else None


def _names(names: Sequence[str]) -> str:
    return ("the column " if len(names) == 1 else "the columns ") + ", ".join(repr(n) for n in names)
