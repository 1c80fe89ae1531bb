"""The months that the campaign loads, each in three versions that a source publishes in turn."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.manifest import Manifest
from taxi_assets.months import month_text
from taxi_assets.sample.files import write_sample

VERSIONS = 3
# Rows of the versions of each month: from hundreds to a million, the large ones rarely drawn.
SIZES: dict[tuple[str, date], tuple[int, int, int]] = {
    ("green", date(2020, 4, 1)): (300, 301, 2_000),
    ("green", date(2020, 5, 1)): (700, 9_000, 701),
    ("yellow", date(2021, 1, 1)): (1_000, 20_000, 1_001),
    ("yellow", date(2010, 3, 1)): (500, 501, 3_000),
    # Without sums of money, a version with a row more or less must be none of the others.
    ("fhv", date(2019, 2, 1)): (800, 5_000, 830),
    ("fhvhv", date(2021, 6, 1)): (900, 930, 8_000),
}
LARGE = ("yellow", date(2021, 2, 1))
LARGE_SIZES = (200_000, 1_000_000, 200_001)


@dataclass(frozen=True)
class Version:
    """One content of a month's file, and what the contract makes of it."""

    data: bytes
    manifest: Manifest


@dataclass(frozen=True)
class Month:
    """A month of a dataset with the versions that its source may publish."""

    dataset: str
    month: date
    versions: tuple[Version, ...]

    @property
    def partition(self) -> str:
        """Return the partition key."""
        return self.month.isoformat()

    @property
    def file_name(self) -> str:
        """Return the name of the month's file at the source."""
        return f"{self.dataset}_{month_text(self.month)}.csv.gz"


def make_months(folder: Path, *, large: bool) -> list[Month]:
    """Make the files of all months; with `large`, those of up to a million rows too."""
    sizes = SIZES | ({LARGE: LARGE_SIZES} if large else {})
    return [_month(folder, dataset, month, rows) for (dataset, month), rows in sizes.items()]


def _month(folder: Path, dataset: str, month: date, sizes: tuple[int, ...]) -> Month:
    versions = []
    for rows in sizes:
        place = folder / f"{dataset}-{month}-{rows}"
        place.mkdir(parents=True)
        path = write_sample(dataset, month, place, rows=rows, file_format="csv.gz")
        *_, manifest = clean_file(path, DATASETS[dataset], month, place)
        versions.append(Version(path.read_bytes(), manifest))
    return Month(dataset, month, tuple(versions))
