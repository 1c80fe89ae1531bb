"""Marts of a month counted by DuckDB over the lake's Parquet, without any of the project's SQL."""

from pathlib import Path
from typing import Any

import duckdb

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
MEASURES = [
    *sorted({name for money in MONEY.values() for name in money}),
    "sum_distance_mi",
    "sum_duration_s",
    "sum_wait_s",
    "passengers",
]
COLUMNS = ["company", "pickup_date", "pickup_hour", "pickup_location_id", "trips", "refunds", "net_trips", *MEASURES]
COMPANIES = {"yellow": "'Yellow taxi'", "green": "'Green taxi'", "fhv": "'For-hire bases'"}
UBER = (
    "case hvfhs_license_num when 'HV0002' then 'Juno' when 'HV0003' then 'Uber' when 'HV0004' then 'Via' "
    "when 'HV0005' then 'Lyft' end"
)


def zone_hours(file: Path, dataset: str) -> list[tuple[Any, ...]]:
    """Return the rows of `fct_zone_hour` in the order of their keys, with `COLUMNS`."""
    money = MONEY[dataset]
    fare = money.get("sum_fare_usd")
    values = {name: f"round(sum(cast({column} as decimal(18,2))), 2)" for name, column in money.items()}
    seconds = "epoch(dropoff_datetime) - epoch(pickup_datetime)"
    values["sum_duration_s"] = f"sum(case when {seconds} >= 0 then {seconds} end)"
    if dataset == "fhvhv":
        values["sum_duration_s"] = f"sum(coalesce(trip_time, case when {seconds} >= 0 then {seconds} end))"
        values["sum_distance_mi"] = "sum(cast(trip_miles as decimal(18,3)))"
        waited = "epoch(pickup_datetime) - epoch(request_datetime)"
        values["sum_wait_s"] = f"sum(case when {waited} >= 0 then {waited} end)"
    if dataset in ("yellow", "green"):
        values["sum_distance_mi"] = "sum(cast(trip_distance as decimal(18,3)))"
        values["passengers"] = "sum(passenger_count)"
    inner = ", ".join(f"{values.get(name, 'null')} as {name}" for name in MEASURES)
    outer = ", ".join(f"sum({name})" for name in MEASURES)
    amount = f"cast({fare} as decimal(18,2))" if fare else "0"
    query = f"""
        select company, day, hour, zone, sum(back + rest), sum(back), sum(back + rest - 2 * least(back, paid)), {outer}
        from (
          select {COMPANIES.get(dataset, UBER)} as company, pickup_datetime::date as day, hour(pickup_datetime) as hour,
            pickup_location_id as zone, count(*) filter ({amount} < 0) as back, count(*) filter ({amount} > 0) as paid,
            count(*) - count(*) filter ({amount} < 0) as rest, {inner}
          from read_parquet('{file}')
          group by 1, 2, 3, 4, pickup_datetime, dropoff_datetime, dropoff_location_id, abs({amount})
        )
        group by 1, 2, 3, 4 order by 1, 2, 3, 4 nulls first
    """
    with duckdb.connect() as connection:
        return connection.execute(query).fetchall()
