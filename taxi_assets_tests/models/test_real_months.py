"""Models of real months reach the figures that they are made for."""

from datetime import date
from pathlib import Path

import pytest

from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.models.backtest import train
from taxi_assets.models.fit import PARAMETERS
from taxi_assets.models.places import known_places
from taxi_assets.models.trips import Trips, read_sample, trips_of
from taxi_assets.months import parse_month

PLACES = known_places()


@pytest.fixture(autouse=True)
def real_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grow as many trees as a real model has."""
    monkeypatch.setitem(PARAMETERS, "max_iter", 100)
    monkeypatch.setitem(PARAMETERS, "learning_rate", 0.1)


def real_months(tlc: Path, folder: Path, names: list[str]) -> dict[date, Trips]:
    found = {}
    for name in names:
        month = parse_month(name[:7])
        (folder / name).mkdir()
        clean_file(tlc / "trips" / f"green_tripdata_{name}", DATASETS["green"], month, folder / name)
        found[month] = trips_of(read_sample(folder / name / "kept.parquet", month))
    return found


def test_green_june_2020_from_april_and_may(tlc: Path, tmp_path: Path):
    months = real_months(tlc, tmp_path, ["2020-04.parquet", "2020-05.csv.gz", "2020-06.csv.gz"])
    first = train(months, date(2020, 6, 1), PLACES).leads[0]
    assert first.model.trips > 60_000
    assert first.model.mae < 5.6
    assert first.model.rmse < 9.5
    assert first.model.mae < 0.9 * first.floors["medians"].mae


def test_green_june_2023_from_the_five_months_before(tlc: Path, tmp_path: Path):
    months = real_months(tlc, tmp_path, [f"2023-0{number}.parquet" for number in range(1, 7)])
    found = train(months, date(2023, 6, 1), PLACES)
    first = found.leads[0]
    assert [lead.lead for lead in found.leads] == [1, 2, 3]
    assert first.gain >= 0.10
    assert abs(first.model.bias) <= 0.6
    assert first.model.coverage == pytest.approx(0.80, abs=0.02)
    assert {"hour 17", "Queens to Queens", "airport", "unseen pair"} <= set(first.slices)
