"""How a published file is laid out: its format, its columns as named, and the canonical column of each. Pure."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from taxi_assets.cleaning.forms import PLAIN, Forms
from taxi_assets.cleaning.options import ReadingOptions, UnknownColumns
from taxi_assets.cleaning.sniffing import Published, sniff
from taxi_assets.cleaning.wording import columns_named, listed
from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.schemas import IGNORED_COLUMNS, IGNORED_PATTERN, Column
from taxi_assets.errors import BadFileError, ContractError

DEFAULTS = ReadingOptions()
SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}


@dataclass(frozen=True)
class Layout:
    """The columns of one file.

    `header` holds the names as published; `columns` the canonical column of each, None where the
    contract ignores it or the run discards it. `fields` is the number of fields in a CSV row, more
    than the header has where rows end in extra commas. `zones` are those that times are marked with.
    `undecided` is a time of which only other rows can show what is the day, where the file has such.
    """

    format: str
    header: tuple[str, ...]
    columns: tuple[Column | None, ...]
    fields: int
    separator: str = ","
    forms: Forms = PLAIN
    zones: frozenset[str] = frozenset()
    undecided: str | None = None

    def sources(self, column: Column) -> list[int]:
        """Positions of the published columns that feed a canonical one, the one that wins first."""
        names = [_letters(name) for name in (column.name, *column.aliases)]
        found = [i for i, c in enumerate(self.columns) if c is not None and c.name == column.name]
        return sorted(found, key=lambda i: names.index(_letters(self.header[i])))

    @property
    def ignored(self) -> list[str]:
        """Names of the columns that carry nothing of a trip."""
        return [name for name in self.header if is_ignored(name)]

    @property
    def discarded(self) -> list[str]:
        """Names of the unknown columns that the run leaves out."""
        pairs = zip(self.header, self.columns, strict=True)
        return [name for name, column in pairs if column is None and not is_ignored(name)]

    @property
    def description(self) -> str:
        """The layout in a few words."""
        separated = "" if self.separator == "," else f" separated by {SEPARATORS[self.separator]}s"
        return f"{self.format}{separated}, {len(self.header)} columns"


def normalize(name: str) -> str:
    """Return a published column name as the contract's aliases are written."""
    return name.strip().strip('"').strip().lower()


def _letters(name: str) -> str:
    """Return a published name without what mirrors write differently: `PULocationID` is `pu_location_id`."""
    return re.sub(r"[ _.-]", "", normalize(name))


def is_ignored(name: str) -> bool:
    """Return whether a published column carries nothing of a trip, such as an index."""
    return normalize(name) in IGNORED_COLUMNS or IGNORED_PATTERN.fullmatch(normalize(name)) is not None


def map_columns(
    dataset: Dataset, header: Sequence[str], unknown_columns: UnknownColumns = "freeze"
) -> tuple[Column | None, ...]:
    """Return the canonical column of each published name.

    Raises:
        ContractError: A name that the contract does not know, unless unknown columns are discarded; a name that comes
            twice; or a missing column that it requires.
    """
    aliases = {_letters(alias): column for alias, column in dataset.schema.aliases.items()}
    columns = tuple(None if is_ignored(name) else aliases.get(_letters(name)) for name in header)
    unknown = [n for n, column in zip(header, columns, strict=True) if column is None and not is_ignored(n)]
    if unknown and not any(columns):
        raise ContractError(
            f"The file has {columns_named(unknown)}, none of which the contract of {dataset.name} knows; it is a file "
            "of something else, or its first line is no header. If TLC renamed all columns, add the names to the "
            f"{dataset.name} schema in taxi_assets/contract/schemas.py."
        )
    if unknown and unknown_columns == "freeze":
        raise ContractError(
            f"The file has {columns_named(unknown)}, which the contract of {dataset.name} does not know; if an export "
            "or an analysis added that, load the file without it by unknown_columns: discard in the run's config, "
            "TAXI_UNKNOWN_COLUMNS=discard or --unknown-columns discard; if TLC did, add it to the "
            f"{dataset.name} schema in taxi_assets/contract/schemas.py, as a column or an alias of one."
        )
    used = [normalize(name) for name, column in zip(header, columns, strict=True) if column is not None]
    twice = [name for name, count in Counter(used).items() if count > 1]
    if twice:
        raise ContractError(
            f"The file has {columns_named(twice)} more than once, so its columns cannot be distinguished by name."
        )
    found = {column.name for column in columns if column is not None}
    missing = [c.name for c in dataset.schema.published if c.required and c.name not in found]
    if missing:
        raise ContractError(
            f"The file lacks {columns_named(missing)}, which the contract of {dataset.name} requires; its columns are "
            f"{listed(header)}. Export it again with all columns; if it has the column under another name, add that "
            "to the aliases in taxi_assets/contract/schemas.py."
        )
    return columns


def csv_layout(dataset: Dataset, format_: str, head: bytes, options: ReadingOptions = DEFAULTS) -> Layout:
    """Return the layout of a CSV whose first bytes are `head`.

    Raises:
        BadFileError: There is no header.
        ContractError: See `map_columns` and `sniff`.
    """
    header, separator = split_header(head)
    columns = map_columns(dataset, header, options.unknown_columns)
    lines = text_lines(head)[1:]
    # Line by line: an unbalanced quote must not swallow the lines after it. The last line may be cut.
    rows = [split_line(line, separator) for line in lines[:-1] or lines]
    widths = Counter(map(len, rows))
    fields = max(widths.most_common(1)[0][0] if widths else 0, len(header))
    published = [
        Published(name, column, [row[i] for row in rows if len(row) == fields])
        for i, (name, column) in enumerate(zip(header, columns, strict=True))
    ]
    found = sniff(published, converts_utc=options.zoned_times == "convert", commas_are_free=separator != ",")
    return Layout(format_, header, found.columns, fields, separator, found.forms, found.zones, found.undecided)


def csv_header(head: bytes) -> tuple[str, ...]:
    """Return the column names of a CSV whose first bytes are `head`.

    Raises:
        BadFileError: There is no header.
    """
    return split_header(head)[0]


def split_header(head: bytes) -> tuple[tuple[str, ...], str]:
    """Return the column names of a CSV whose first bytes are `head`, and the separator of its fields.

    Raises:
        BadFileError: There is no header.
    """
    lines = text_lines(head)
    if not lines:
        raise BadFileError("The file is empty: not even a header was found.")
    # No name has one of these signs, so that the one which makes the most fields separates them.
    separator = max(SEPARATORS, key=lambda sign: len(split_line(lines[0], sign)))
    header = split_line(lines[0], separator)
    # Trailing commas in the header name nothing.
    while header and not header[-1].strip():
        header.pop()
    return tuple(header), separator


def split_line(line: str, separator: str = ",") -> list[str]:
    """Return the fields of one line of a CSV; none if they are ambiguous, as with a carriage return inside."""
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def text_lines(head: bytes) -> list[str]:
    """Return the lines of a CSV's first bytes that are not blank."""
    return [line for line in head.decode("utf-8-sig", "replace").splitlines() if line.strip()]


def guess_dataset(header: Sequence[str], unknown_columns: UnknownColumns = "freeze") -> Dataset | None:
    """Return the dataset whose contract has all the names, if there is exactly one."""
    fitting = []
    for dataset in DATASETS.values():
        try:
            map_columns(dataset, header, unknown_columns)
        except ContractError:
            continue
        fitting.append(dataset)
    return fitting[0] if len(fitting) == 1 else None
