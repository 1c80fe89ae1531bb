"""Marts of a month counted by DuckDB over the lake's Parquet, without any of the project's SQL.

The Parquet has two more columns, of the zones that shapely finds for coordinates; see `with_exact_zones`.
"""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from taxi_assets.marts.catalog import catalog

MONEY = {
    "yellow": {
        "sum_fare_usd": "fare_amount",
        "sum_tip_usd": "tip_amount",
        "sum_total_usd": "total_amount",
        "sum_tolls_usd": "tolls_amount",
        "sum_extra_usd": "extra",
        "sum_mta_tax_usd": "mta_tax",
        "sum_congestion_surcharge_usd": "congestion_surcharge",
        "sum_airport_fee_usd": "airport_fee",
        "sum_improvement_surcharge_usd": "improvement_surcharge",
        "sum_cbd_congestion_fee_usd": "cbd_congestion_fee",
    },
    "fhv": {},
    "fhvhv": {
        "sum_fare_usd": "base_passenger_fare",
        "sum_tip_usd": "tips",
        "sum_tolls_usd": "tolls",
        "sum_driver_pay_usd": "driver_pay",
        "sum_black_car_fund_usd": "bcf",
        "sum_sales_tax_usd": "sales_tax",
        "sum_congestion_surcharge_usd": "congestion_surcharge",
        "sum_airport_fee_usd": "airport_fee",
        "sum_cbd_congestion_fee_usd": "cbd_congestion_fee",
    },
}
MONEY["green"] = {name: column for name, column in MONEY["yellow"].items() if name != "sum_airport_fee_usd"}
FLAGS = {
    "shared_asked_trips": "shared_request_flag",
    "wav_asked_trips": "wav_request_flag",
    "wav_served_trips": "wav_match_flag",
}
NULL_BLOCK = "coalesce(payment_type, 0) = 0 and passenger_count is null"
KEYS = ["company", "pickup_date", "pickup_hour", "pickup_location_id", "pickup_zone_by_coordinates"]
COUNTS = ["trips", "refunds", "net_trips"]
# All others that the table has.
MEASURES = [
    name
    for name in catalog().models["fct_zone_hour"].columns
    if name not in (*KEYS, *COUNTS, "source_month", "dataset")
]
COLUMNS = [*KEYS, *COUNTS, *MEASURES]
COMPANIES = {"yellow": "'Yellow taxi'", "green": "'Green taxi'", "fhv": "'For-hire bases'"}
UBER = (
    "case hvfhs_license_num when 'HV0002' then 'Juno' when 'HV0003' then 'Uber' when 'HV0004' then 'Via' "
    "when 'HV0005' then 'Lyft' end"
)


# New York's wall clock: 01:50 to 01:10 in the night of November are 20 minutes, 01:50 to 03:10 in that of March too.
WALL = "epoch(dropoff_datetime) - epoch(pickup_datetime)"
WENT_BACK = f"""(hour(pickup_datetime) = 1 and isodow(pickup_datetime) = 7 and month(pickup_datetime) = 11
    and day(pickup_datetime) < 8 and {WALL} < 0 and {WALL} > -3600)"""
WENT_FORWARD = """(isodow(dropoff_datetime) = 7 and month(dropoff_datetime) = 3
    and day(dropoff_datetime) between 8 and 14
    and dropoff_datetime >= dropoff_datetime::date + interval 3 hour
    and pickup_datetime < dropoff_datetime::date + interval 2 hour)"""
SECONDS = f"""case when {WENT_BACK} then {WALL} + 3600 when {WENT_FORWARD} then {WALL} - 3600
    when {WALL} >= 0 then {WALL} end"""
WAIT = "case when request_datetime <= pickup_datetime then epoch(pickup_datetime) - epoch(request_datetime) end"


def with_exact_zones(file: Path, folder: Path, outlines: dict[int, Any]) -> Path:
    """Return a copy of the month with the zones that the points of trips without zone ids lie in."""
    table = pq.read_table(file)
    shapes = shapely.STRtree(list(outlines.values()))
    for end in ("pickup", "dropoff"):
        zones: Any = pa.nulls(table.num_rows, pa.int64())
        if f"{end}_longitude" in table.column_names:
            at = [table[f"{end}_{axis}"].to_numpy().astype(float) for axis in ("longitude", "latitude")]
            missing = table[f"{end}_location_id"].is_null().to_numpy() & ~np.isnan(at[0])
            point, shape = shapes.query(shapely.points(*at), predicate="within")
            found = dict(zip(point.tolist(), shape.tolist(), strict=True))
            ids = list(outlines)
            zones = pa.array([ids[found[n]] if m and n in found else None for n, m in enumerate(missing)], pa.int64())
        table = table.append_column(f"{end}_zone_by_coordinates", zones)
    copy = folder / file.name
    pq.write_table(table, copy)
    return copy


def duration(dataset: str) -> str:
    """Return the seconds of a trip; fhvhv has them in a column, but for old months."""
    return f"coalesce(trip_time, {SECONDS})" if dataset == "fhvhv" else f"({SECONDS})"


def distance(dataset: str) -> str:
    """Return the miles of a trip."""
    return {"fhvhv": "trip_miles", "fhv": "null::double"}.get(dataset, "trip_distance")


def plausible(dataset: str) -> str:
    """Return the condition of a plausible trip."""
    seconds, miles = duration(dataset), distance(dataset)
    lasts = f"coalesce({seconds} between 60 and 4 * 3600, false)"
    if dataset == "fhv":
        return lasts
    fare = MONEY[dataset]["sum_fare_usd"]
    rest = f"{miles} between 0.2 and 100 and {miles} * 3600.0 between {seconds} and 100 * {seconds}"
    rest += f" and {fare} between 2 and 2000"
    if dataset != "fhvhv":
        return f"({lasts} and coalesce({rest}, false))"
    told = f"coalesce({rest}, {miles} is null and {fare} is null)"
    return f"({lasts} and {told} and coalesce(driver_pay between 1 and 2000, true))"


def total(dataset: str) -> str:
    """Return what the passenger paid, in exact dollars; fhvhv has only the parts."""
    if dataset != "fhvhv":
        return "cast(total_amount as decimal(18,2))"
    parts = ("tolls", "bcf", "sales_tax", "congestion_surcharge", "airport_fee", "cbd_congestion_fee", "tips")
    return (
        "(cast(base_passenger_fare as decimal(18,2))"
        + "".join(f" + cast(coalesce({name}, 0) as decimal(18,2))" for name in parts)
        + ")"
    )


def zone_hours(file: Path, dataset: str) -> list[tuple[Any, ...]]:
    """Return the rows of `fct_zone_hour`, with `COLUMNS`."""
    money = MONEY[dataset]
    fare = money.get("sum_fare_usd")
    values = {name: f"round(sum(cast({column} as decimal(18,2))), 2)" for name, column in money.items()}
    values["sum_duration_s"] = f"sum({duration(dataset)})"
    values["plausible_trips"] = f"count(*) filter ({plausible(dataset)})"
    values["sum_plausible_duration_s"] = f"sum({duration(dataset)}) filter ({plausible(dataset)})"
    if dataset != "fhv":
        miles = f"cast({distance(dataset)} as decimal(18,3))"
        values["sum_distance_mi"] = f"sum({miles})"
        values["sum_plausible_distance_mi"] = f"sum({miles}) filter ({plausible(dataset)})"
        values["sum_total_usd"] = f"sum({total(dataset)})"
    if dataset == "fhv":
        values["shared_matched_trips"] = "count(*) filter (sr_flag = 1)"
    if dataset == "fhvhv":
        paid = "cast(base_passenger_fare as decimal(18,2))"
        values["sum_wait_s"] = f"sum({WAIT})"
        values["wait_trips"] = "count(*) filter (request_datetime <= pickup_datetime)"
        values["tip_recorded_trips"] = "count(tips)"
        values["sum_recorded_tip_usd"] = "sum(cast(tips as decimal(18,2)))"
        values["sum_fare_where_tip_recorded_usd"] = f"sum({paid}) filter (tips is not null)"
        values["sum_fare_where_paid_usd"] = f"sum({paid}) filter (driver_pay is not null)"
        for name, flag in FLAGS.items():
            values[name] = f"case when count({flag}) > 0 then count(*) filter ({flag} = 'Y') end"
        matched = "coalesce(shared_match_flag = 'Y', sr_flag = 1)"
        values["shared_matched_trips"] = f"case when count({matched}) > 0 then count(*) filter ({matched}) end"
        both = "(wav_request_flag = 'Y' and wav_match_flag = 'Y')"
        values["wav_asked_and_served_trips"] = f"case when count({both}) > 0 then count(*) filter ({both}) end"
    if dataset in ("yellow", "green"):
        values["passengers"] = "sum(passenger_count)"
        values["passenger_trips"] = "count(passenger_count)"
        values["null_block_trips"] = f"count(*) filter ({NULL_BLOCK})"
        values["tip_recorded_trips"] = "count(*) filter (payment_type = 1)"
        values["sum_recorded_tip_usd"] = "sum(cast(tip_amount as decimal(18,2))) filter (payment_type = 1)"
        values["sum_fare_where_tip_recorded_usd"] = "sum(cast(fare_amount as decimal(18,2))) filter (payment_type = 1)"
    else:
        values["null_block_trips"] = "0"
    inner = ", ".join(f"{values.get(name, 'null')} as {name}" for name in MEASURES)
    outer = ", ".join(f"sum({name})" for name in MEASURES)
    amount = f"cast({fare} as decimal(18,2))" if fare else "0"
    query = f"""
        select company, day, hour, zone, point_zone, sum(back + rest), sum(back),
          sum(back + rest - 2 * least(back, paid)), {outer}
        from (
          select {COMPANIES.get(dataset, UBER)} as company, pickup_datetime::date as day, hour(pickup_datetime) as hour,
            pickup_location_id as zone, pickup_zone_by_coordinates as point_zone,
            count(*) filter ({amount} < 0) as back, count(*) filter ({amount} > 0) as paid,
            count(*) - count(*) filter ({amount} < 0) as rest, {inner}
          from read_parquet('{file}')
          group by 1, 2, 3, 4, 5, pickup_datetime, dropoff_datetime, dropoff_location_id, dropoff_zone_by_coordinates,
            abs({amount})
        )
        group by 1, 2, 3, 4, 5
    """
    return _rows(query)


PAIR_COLUMNS = [
    "company", "pickup_location_id", "dropoff_location_id", "pickup_zone_by_coordinates",
    "dropoff_zone_by_coordinates", "part_of_day", "is_weekend", "plausible_trips",
    "sum_duration_s", "sum_distance_mi", "sum_fare_usd", "sum_total_usd", "sum_driver_pay_usd", "p50_minutes",
    "p90_minutes",
]  # fmt: skip


def pair_parts(file: Path, dataset: str) -> list[tuple[Any, ...]]:
    """Return the rows of `fct_pair_part`, with `PAIR_COLUMNS`."""
    exact = "cast({} as decimal(18,2))".format
    fare = exact(MONEY[dataset]["sum_fare_usd"]) if dataset != "fhv" else "null"
    paid = total(dataset) if dataset != "fhv" else "null"
    pay = exact("driver_pay") if dataset == "fhvhv" else "null"
    helped = "coalesce(access_a_ride_flag, 'N') <> 'Y'" if dataset == "fhvhv" else "true"
    return _rows(f"""
        select company, pu, do_, pu_point, do_point, part, weekend, count(*), sum(seconds), sum(miles), sum(fare),
          sum(paid), sum(pay),
          list_sort(list(minutes))[(count(*) + 1) // 2], list_sort(list(minutes))[(count(*) * 9 + 9) // 10]
        from (
          select {COMPANIES.get(dataset, UBER)} as company, pickup_location_id as pu, dropoff_location_id as do_,
            pickup_zone_by_coordinates as pu_point, dropoff_zone_by_coordinates as do_point,
            isodow(pickup_datetime) > 5 as weekend, {duration(dataset)} as seconds,
            floor(seconds / 60 + 0.5) as minutes,
            list_filter([['night', '6'], ['morning', '10'], ['midday', '16'], ['evening', '20'], ['late', '24']],
              lambda p: hour(pickup_datetime) < p[2]::int)[1][1] as part,
            cast({distance(dataset)} as decimal(18,3)) as miles, {fare} as fare, {paid} as paid, {pay} as pay
          from read_parquet('{file}')
          where {plausible(dataset)} and {helped}
            and coalesce(pu, pu_point) is not null and coalesce(do_, do_point) is not null
        )
        group by all
    """)


PAYMENT_COLUMNS = ["payment_type", "is_null_block", "trips", "sum_fare_usd", "sum_tip_usd", "sum_total_usd"]


def payments(file: Path, dataset: str) -> list[tuple[Any, ...]]:
    """Return the rows of `fct_payment_month`, with `PAYMENT_COLUMNS`."""
    if dataset not in ("yellow", "green"):
        return []
    sums = ", ".join(f"sum(cast({name} as decimal(18,2)))" for name in ("fare_amount", "tip_amount", "total_amount"))
    return _rows(f"select payment_type, {NULL_BLOCK}, count(*), {sums} from read_parquet('{file}') group by 1, 2")


QUALITY_COLUMNS = [name for name in catalog().models["quality_month"].columns if not name.endswith("_rows")]


def quality(file: Path, dataset: str, month: date) -> list[tuple[Any, ...]]:
    """Return the rows of `quality_month`, with `QUALITY_COLUMNS`, that is without the counts of the manifest."""
    metered = dataset in ("yellow", "green")
    fare = MONEY[dataset].get("sum_fare_usd")
    twins = f"""(select sum(pairs) from (
        select least(count(*) filter ({fare} < 0), count(*) filter ({fare} > 0)) as pairs from read_parquet('{file}')
        group by {UBER if dataset == "fhvhv" else "dropoff_datetime"}, pickup_datetime, dropoff_datetime,
          pickup_location_id, dropoff_location_id, pickup_zone_by_coordinates, dropoff_zone_by_coordinates,
          abs(cast({fare} as decimal(18,2)))))"""
    parts = [name for name in MONEY[dataset].values() if name != "total_amount"]
    explained = " + ".join(f"coalesce(cast({name} as decimal(18,2)), 0)" for name in parts)
    rest = f"cast(total_amount as decimal(18,2)) - ({explained})"
    values = {
        "source_month": f"date '{month}'",
        "dataset": f"'{dataset}'",
        "trips": "count(*)",
        "refunds": f"count(*) filter ({fare} < 0)" if fare else "0",
        "refund_pairs": f"coalesce({twins}, 0)" if fare else "0",
        "null_block_trips": f"count(*) filter ({NULL_BLOCK})" if metered else "0",
        "plausible_trips": f"count(*) filter ({plausible(dataset)})",
        "no_pickup_zone_trips": "count(*) - count(pickup_location_id)",
        "unknown_pickup_zone_trips": "count(*) filter (pickup_location_id > 263)",
        "no_dropoff_zone_trips": "count(*) - count(dropoff_location_id)",
        "unknown_dropoff_zone_trips": "count(*) filter (dropoff_location_id > 263)",
        "pickup_zone_by_coordinates_trips": "count(pickup_zone_by_coordinates)" if metered else "null",
        "dropoff_zone_by_coordinates_trips": "count(dropoff_zone_by_coordinates)" if metered else "null",
        "no_dropoff_trips": "count(*) - count(dropoff_datetime)",
        "stray_trips": f"count(*) filter (date_trunc('month', pickup_datetime) <> date '{month}')",
        "day_long_trips": f"count(*) filter ({duration(dataset)} >= 23 * 3600)",
        "backward_trips": "count(*) filter (dropoff_datetime < pickup_datetime)",
        "clock_change_trips": f"count(*) filter ({WENT_BACK} or {WENT_FORWARD})",
        "no_distance_trips": f"sum(case when {distance(dataset)} = 0 then 1 when {distance(dataset)} > 0 then 0 end)",
        "unexplained_total_trips": f"count(*) filter ({rest} <> 0)" if metered else "null",
        "unexplained_usd": f"sum({rest})" if metered else "null",
    }
    return _rows(f"select {', '.join(values[name] for name in QUALITY_COLUMNS)} from read_parquet('{file}')")


def quantiles(file: Path, dataset: str) -> list[tuple[Any, ...]]:
    """Return measure, trips, P50, P90, P95 and P97, interpolated as PERCENTILE_CONT does, of `fct_month_quantiles`."""
    fare = MONEY[dataset].get("sum_fare_usd")
    kept = f"coalesce({fare} >= 0, true)" if fare else "true"
    values = {"duration_s": (duration(dataset), kept)}
    if fare:
        went = f"{fare} > 0 and {distance(dataset)} > 0"
        paid_so = "true" if dataset == "fhvhv" else "payment_type in (1, 2)"
        values |= {
            "distance_mi": (distance(dataset), kept),
            "fare_usd": (fare, f"{went} and {paid_so}"),
            "fare_any_payment_usd": (fare, went),
            "total_usd": (total(dataset), f"{distance(dataset)} > 0"),
        }
    if dataset == "fhvhv":
        values |= {"driver_pay_usd": ("driver_pay", "true"), "wait_s": (WAIT, "true")}
    found = []
    for name, (value, condition) in values.items():
        least = ">= 0" if name == "wait_s" else "> 0"
        found += _rows(f"""
            select '{name}', count(*), quantile_cont(value, 0.5), quantile_cont(value, 0.9), quantile_cont(value, 0.95),
              quantile_cont(value, 0.97)
            from (select cast({value} as double) as value from read_parquet('{file}') where {condition})
            where value {least} having count(*) > 0
        """)
    return found


def _rows(query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(query).fetchall()
