"""Files of trips as people have them, under ../shared/wild: what is read of each, rejected and ignored, or why not."""

from pathlib import Path
from typing import Any

import pytest

from taxi_assets.cleaning.inspect import inspect_file
from taxi_assets.cleaning.options import ReadingOptions
from taxi_assets.errors import ContractError
from taxi_assets_tests.conftest import PROJECT_ROOT

WILD = PROJECT_ROOT.parent / "shared" / "wild"

# Month, rows, kept rows, rejected rows by reason, ignored columns.
READ: dict[str, tuple[str, int, int, dict[str, int], list[str]]] = {
    "yellow_2019-09.socrata.csv": ("2019-09", 99, 96, {"no_passengers": 3}, []),
    "green_2016-01.socrata.csv": ("2016-01", 200, 200, {}, []),
    "yellow_2017.socrata-id-column.csv": ("2017-03", 200, 26, {"pickup_outside_month": 174}, ["ID"]),
    "yellow_2019-10.soda-api.csv": ("2019-10", 200, 200, {}, []),
    "green_2019-01.nameless-index.csv": ("2019-01", 200, 199, {"pickup_outside_month": 1}, [""]),
    "fhv_2015-02.nameless-index.csv": ("2015-02", 200, 200, {}, [""]),
    "yellow_2021-01.float-ints.csv": ("2021-01", 99, 96, {"no_passengers": 3}, ["id"]),
    "yellow_2016.azure-camelcase.csv": ("2016-01", 200, 200, {}, []),
    "yellow_2018-02.renamed.csv": ("2018-02", 200, 200, {}, []),
    "yellow_2025-01.quoted-fractions.csv": ("2025-01", 200, 190, {"no_passengers": 10}, []),
    "yellow_2010-01.tab-separated.csv": ("2010-01", 200, 200, {}, []),
}


@pytest.fixture
def wild() -> Path:
    if not WILD.is_dir():
        pytest.skip(f"{WILD} is not there: these files are not part of the project")
    return WILD


@pytest.mark.parametrize("name", READ)
def test_what_is_read(wild: Path, name: str) -> None:
    month, rows, kept, rejected, ignored = READ[name]
    found: dict[str, Any] = inspect_file(wild / name, month=month)
    assert (found["rows"], found["kept"]) == (rows, kept)
    assert {reason: count for reason, count in found["rejected"].items() if count} == rejected
    assert (found["ignored"], found["discarded"], found["causes"]) == (ignored, [], [])


def test_missing_columns_are_named(wild: Path) -> None:
    with pytest.raises(ContractError, match="lacks the column 'trip_distance'"):
        inspect_file(wild / "green_2021-07.excel-dates-3-columns.csv")


def test_unknown_columns_stop_a_file_unless_they_are_discarded(wild: Path) -> None:
    path = wild / "green_2022-01.extra-columns.parquet"
    with pytest.raises(ContractError, match=r"'duration_min', 'prediction'.*unknown_columns: discard"):
        inspect_file(path)
    found = inspect_file(path, options=ReadingOptions(unknown_columns="discard"))
    assert (found["rows"], found["kept"]) == (200, 200)
    assert (found["discarded"], found["ignored"]) == (["duration_min", "prediction"], ["__index_level_0__"])
