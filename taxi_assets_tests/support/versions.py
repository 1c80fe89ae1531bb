"""Months that a source publishes in one version after another, and what every sink must hold of each."""

import tempfile
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.manifest import Totals
from taxi_assets.sample.files import write_sample
from taxi_assets_tests.conftest import World, failure, retries

APRIL, MAY = date(2020, 4, 1), date(2020, 5, 1)
SINKS = ("lake", "bigquery", "postgres")


@dataclass(frozen=True)
class Version:
    """A month's file, the totals of the rows that the contract keeps of it, and how many it rejects."""

    data: bytes
    kept: Totals
    rejected: int


@cache
def version(rows: int, file_format: str = "csv.gz", month: date = APRIL) -> Version:
    """Make a file of green trips; other numbers of rows give other trips."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_sample("green", month, Path(folder), rows=rows, file_format=file_format)
        return Version(path.read_bytes(), *_cleaned(path, month))


def _cleaned(path: Path, month: date) -> tuple[Totals, int]:
    """Return the totals and the rejected rows of a file that is cleaned alone, without assets or services."""
    *_, manifest = clean_file(path, DATASETS["green"], month, path.parent)
    return manifest.kept, manifest.rejected_rows


def held(world: World, month: date = APRIL) -> dict[str, Any]:
    """Return what each sink holds of the month, and how many rejected rows the lake holds."""
    return {**world.totals("green", month), "rejected": world.rejected("green", month).num_rows}


def everywhere(expected: Version) -> dict[str, Any]:
    """Return what `held` must return when the version is published."""
    return {**dict.fromkeys(SINKS, expected.kept), "rejected": expected.rejected}


def fails(world: World, words: list[str], retried: bool, *names: str) -> str:
    """Check that the month's run ends in one sentence with those words, retried only if that may help."""
    result = world.run("green", APRIL, *names, force=True)
    sentence = failure(result)
    assert [word for word in words if word not in sentence] == [], sentence
    assert len(sentence.splitlines()) == 1
    assert sentence.endswith((".", "?"))
    assert retries(result) == int(retried)
    return sentence
