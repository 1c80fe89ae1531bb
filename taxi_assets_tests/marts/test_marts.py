"""Marts in both warehouses equal what DuckDB counts over the lake, month by month and measure by measure."""

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import shapely
from shapely.affinity import scale

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.object_names import clean_object
from taxi_assets.contract.zone_shapes import read_zone_shapes
from taxi_assets.defs.assets.marts import manifests_of
from taxi_assets.marts.catalog import Model, catalog
from taxi_assets.marts.make_catalog import FILE
from taxi_assets.marts.make_catalog import catalog as made_catalog
from taxi_assets.marts.marts import Marts
from taxi_assets_tests.conftest import World
from taxi_assets_tests.contract.test_zone_pieces import exact_outlines
from taxi_assets_tests.contract.test_zone_shapes import outlines as simple_outlines
from taxi_assets_tests.contract.test_zone_shapes import packed_shapes
from taxi_assets_tests.marts.conftest import APRIL, MONTHS, WAREHOUSES, marts_of
from taxi_assets_tests.support import marts_counting as counting


def exact(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows in an order, with numbers that compare alike: to a tenth of a cent."""
    numbers = (int, float, Decimal)
    plain = [
        tuple(Decimal(str(round(v, 3))) if isinstance(v, numbers) and not isinstance(v, bool) else v for v in row)
        for row in rows
    ]
    return sorted(plain, key=lambda row: [(v is None, str(v)) for v in row])


def same(found: Sequence[tuple[Any, ...]], wanted: Sequence[tuple[Any, ...]]) -> None:
    """Compare, and show the first rows that differ, as whole tables would take minutes to show."""
    mine, theirs = exact(found), exact(wanted)
    differing = [pair for pair in zip(mine, theirs, strict=False) if pair[0] != pair[1]][:3]
    assert (len(mine), differing) == (len(theirs), [])


def rows_of(marts: Marts, model: str, columns: Sequence[str], dataset: str, month: date) -> list[tuple[Any, ...]]:
    return marts.query(
        f"SELECT {', '.join(columns)} FROM {marts.name(model)} "
        f"WHERE dataset = '{dataset}' AND source_month = DATE '{month}'"
    )[1]


@pytest.fixture(scope="module")
def outlines(tlc: Path) -> dict[int, shapely.Geometry]:
    return exact_outlines(tlc)


@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_every_measure_is_duckdbs(
    filled: World, outlines: dict[int, shapely.Geometry], tmp_path: Path, dataset: str, month: date
) -> None:
    file = counting.with_exact_zones(filled.lake.fetch(clean_object(dataset, month)), tmp_path, outlines)
    wanted = {
        "fct_zone_hour": (counting.COLUMNS, counting.zone_hours(file, dataset)),
        "fct_pair_part": (counting.PAIR_COLUMNS, counting.pair_parts(file, dataset)),
        "fct_payment_month": (counting.PAYMENT_COLUMNS, counting.payments(file, dataset)),
        "quality_month": (counting.QUALITY_COLUMNS, counting.quality(file, dataset, month)),
    }
    assert {*wanted, "fct_month_quantiles"} == {model.name for model in catalog().facts}
    for name in WAREHOUSES:
        for model, (columns, rows) in wanted.items():
            same(rows_of(marts_of(filled, name), model, columns, dataset, month), rows)


@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_percentiles_are_duckdbs(filled: World, dataset: str, month: date) -> None:
    wanted = {row[0]: row[1:] for row in counting.quantiles(filled.lake.fetch(clean_object(dataset, month)), dataset)}
    for name in WAREHOUSES:
        columns = ["measure", "trips", "p50", "p90", "p95", "p97"]
        found = rows_of(marts_of(filled, name), "fct_month_quantiles", columns, dataset, month)
        assert {row[0] for row in found} == set(wanted)
        for measure, *numbers in found:
            # They have three decimals; DuckDB's interpolated floats may be rounded to the neighbour.
            assert [float(n) for n in numbers] == pytest.approx(wanted[measure], abs=0.00051), measure


@pytest.mark.parametrize("name", WAREHOUSES)
def test_percentiles_of_green_2020_04_are_those_known(filled: World, name: str) -> None:
    marts = marts_of(filled, name)
    _, [found] = marts.query(
        f"SELECT p97, p95, p90 FROM {marts.name('fct_month_quantiles')} "
        f"WHERE dataset = 'green' AND source_month = DATE '{APRIL}' AND measure = 'fare_usd'"
    )
    assert found == (Decimal("55.0"), Decimal("45.5"), Decimal("27.0"))


@pytest.mark.parametrize("name", WAREHOUSES)
def test_quality_has_the_rows_of_the_manifest(filled: World, name: str) -> None:
    for dataset, month in MONTHS:
        manifest = manifests_of(filled.lake, DATASETS[dataset], [month])[month]
        [found] = rows_of(marts_of(filled, name), "quality_month", ["raw_rows", "rejected_rows"], dataset, month)
        assert found == (manifest.raw_rows, manifest.rejected_rows)


@pytest.mark.parametrize("name", WAREHOUSES)
def test_trips_across_a_change_of_the_clocks_last_as_long_as_they_did(filled: World, name: str) -> None:
    marts = marts_of(filled, name)
    back, forward = (
        [
            seconds
            for _, seconds in marts.query(
                f"SELECT pickup_datetime, duration_s FROM {marts.name('trips')} WHERE dataset = 'green' "
                f"AND source_month = DATE '{month}' AND {condition} ORDER BY pickup_datetime"
            )[1]
        ]
        for month, condition in (
            ("2025-11-01", "dropoff_datetime < pickup_datetime"),
            ("2025-03-01", "pickup_datetime BETWEEN '2025-03-09 01:40:00' AND '2025-03-09 01:59:59'"
             " AND dropoff_datetime >= '2025-03-09 03:00:00'"),
        )
    )  # fmt: skip
    # 01:51:52 to 01:04:36 and 01:58:21 to 01:09:31, an hour later.
    assert back == [764, 670]
    # Of 01:44:34 to 03:03:09, an hour was none.
    assert forward[0] == 18 * 60 + 35
    assert len(forward) == 6
    assert all(0 < seconds < 1800 for seconds in forward)


def test_both_warehouses_hold_the_same_in_every_table_and_view(filled: World) -> None:
    """Rows, values, sums and extremes of every column; the rows of the tables are compared with DuckDB's above."""
    for model in catalog().models.values():
        found, other = (summary(marts_of(filled, name), model) for name in WAREHOUSES)
        assert found[0][0], model.name
        same(found, other)


def summary(marts: Marts, model: Model) -> list[tuple[Any, ...]]:
    parts = ["COUNT(*)"]
    for column, described in model.columns.items():
        kind = described["kind"]
        parts.append(f"COUNT({column})")
        if kind in ("whole", "exact", "float"):
            parts.append(f"CAST(SUM({column}) AS {'FLOAT64' if marts.label == 'BigQuery' else 'double precision'})")
        if kind == "bool":
            parts.append(f"SUM(CASE WHEN {column} THEN 1 ELSE 0 END)")
        elif kind != "float":
            parts += [f"MIN({column})", f"MAX({column})"]
    return marts.query(f"SELECT {', '.join(parts)} FROM {marts.name(model.name)}")[1]


def test_both_warehouses_give_every_column_the_same_type(filled: World) -> None:
    """The kinds of the catalog, which dbt does not hold views to."""
    kinds = {
        "postgres": {"date": "date", "text": "text", "whole": "bigint", "float": "double precision",
                     "exact": "numeric", "bool": "boolean", "datetime": "timestamp without time zone"},
        "bigquery": {"date": "DATE", "text": "STRING", "whole": "INTEGER", "float": "FLOAT", "exact": "NUMERIC",
                     "bool": "BOOLEAN", "datetime": "DATETIME"},
    }  # fmt: skip
    wanted = {n: {c: v["kind"] for c, v in m.columns.items()} for n, m in catalog().models.items()}
    postgres = marts_of(filled, "postgres")
    _, columns = postgres.query(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'taxi_marts'"
    )
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in columns:
        found.setdefault(table, {})[column] = kind
    assert found == {n: {c: kinds["postgres"][k] for c, k in cs.items()} for n, cs in wanted.items()}
    bigquery = marts_of(filled, "bigquery")
    with filled.bigquery.get_client() as client:
        for model in catalog().facts:
            table = client.get_table(f"{bigquery.home}.{model.name}")
            types = {field.name: field.field_type for field in table.schema}
            assert types == {c: kinds["bigquery"][k] for c, k in wanted[model.name].items()}, model.name


def test_the_congestion_zone_is_manhattan_south_of_60th_street(filled: World, tlc: Path, tmp_path: Path) -> None:
    """60th Street is a block, 80 m, north of the southern edge of Central Park, zone 43."""
    degrees = simple_outlines(read_zone_shapes(packed_shapes(tlc, tmp_path)))
    metres = {z: scale(shape, 111_320 * 0.7572, 111_320, origin=(0, 0)) for z, shape in degrees.items()}
    corners = list(metres[43].minimum_rotated_rectangle.exterior.coords)[:4]
    (ax, ay), (bx, by) = sorted(sorted(corners, key=lambda corner: corner[1])[:2])
    long = ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5
    along, up = ((bx - ax) / long, (by - ay) / long), (-(by - ay) / long, (bx - ax) / long)

    def point(x: float, y: float, east: float, north: float) -> tuple[float, float]:
        return (x + along[0] * east + up[0] * north, y + along[1] * east + up[1] * north)

    far = 9_000
    south = shapely.Polygon(
        [point(ax, ay, -far, 80), point(bx, by, far, 80), point(bx, by, far, -20_000), point(ax, ay, -far, -20_000)]
    )
    shares = {zone: shape.intersection(south).area / shape.area for zone, shape in metres.items()}
    marts = marts_of(filled, "postgres")
    _, listed = marts.query(f"SELECT location_id FROM {marts.name('dim_zone')} WHERE is_in_congestion_zone")
    with duckdb.connect() as connection:
        lookup = tlc / "zones" / "taxi_zone_lookup.csv"
        manhattan = connection.execute(f"SELECT LocationID FROM '{lookup}' WHERE Borough = 'Manhattan'").fetchall()
    harbour = {103, 104, 105}
    inside = {zone for (zone,) in manhattan if shares[zone] > 0.5} - harbour
    assert inside == {zone for (zone,) in listed}
    assert min(shares[zone] for zone in inside) > 0.98


@pytest.mark.long
def test_the_catalog_is_that_of_the_project() -> None:
    assert made_catalog() == json.loads(FILE.read_text(encoding="utf-8"))
