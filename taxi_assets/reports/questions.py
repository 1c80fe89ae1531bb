"""What a report asks the marts: one query a question, for a month of a dataset or for all of history.

The queries read marts only, never trips, in PostgreSQL. `{model}` stands for a table's full name. Weekdays are computed
here: a join with `dim_date`, a view of no statistics, takes a minute.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from taxi_assets.months import months_before

Row = Mapping[str, Any]
Rows = Sequence[Row]
Answers = Mapping[str, Rows]
Query = Callable[[str], tuple[Sequence[str], Sequence[Sequence[Any]]]]
FEES = ("extra", "mta_tax", "improvement_surcharge", "congestion_surcharge", "airport_fee", "cbd_congestion_fee")
HIRE_FEES = ("black_car_fund", "sales_tax")
# Months in the charts that compare a month with those before.
MONTHS_SHOWN = 13
# The day on which vehicles in Manhattan below 60th Street began to pay.
CHARGE_BEGINS = date(2025, 1, 5)
# Pickup zones to choose from in the map of travel times.
STARTS = 12
# A month of files holds strays of other days, and clocks that were reset to 2009 or 2041.
_IN_MONTH = "pickup_date >= source_month AND pickup_date < source_month + INTERVAL '1 month'"
# The zone of the file, or the one that the file's coordinates lie in.
PICKUP = "COALESCE(pickup_location_id, pickup_zone_by_coordinates)"
DROPOFF = "COALESCE(dropoff_location_id, dropoff_zone_by_coordinates)"
_MEASURES_OF_QUALITY = (
    *("raw_rows", "rejected_rows", "trips", "refunds", "null_block_trips", "plausible_trips", "stray_trips"),
    *("no_pickup_zone_trips", "pickup_zone_by_coordinates_trips", "unknown_pickup_zone_trips", "no_distance_trips"),
    *("day_long_trips", "backward_trips", "unexplained_total_trips"),
)


@dataclass(frozen=True)
class Scope:
    """What a page is about: a month of a dataset, or all of history if both are None."""

    dataset: str | None = None
    month: date | None = None

    @property
    def where(self) -> str:
        """Return the condition of the scope's rows in a table of marts."""
        if self.month is None:
            return "TRUE"
        return f"dataset = '{self.dataset}' AND source_month = DATE '{self.month.isoformat()}'"

    @property
    def grain(self) -> str:
        """Return the column of time that the charts of the scope have."""
        return "source_month" if self.month is None else "pickup_date"

    @property
    def recent(self) -> str:
        """Return the condition of the scope's months and those before that are shown with it."""
        if self.month is None:
            return "TRUE"
        return (
            f"dataset = '{self.dataset}' AND source_month <= DATE '{self.month.isoformat()}' "
            f"AND source_month > DATE '{months_before(self.month, MONTHS_SHOWN).isoformat()}'"
        )


def queries(scope: Scope) -> dict[str, str]:
    """Return the query of each question of the page, in the page's order."""
    same_month = f"source_month = DATE '{scope.month.isoformat()}'" if scope.month else "TRUE"
    fees = " + ".join(f"COALESCE(SUM(sum_{fee}_usd), 0)" for fee in (*FEES, *HIRE_FEES))
    return {
        "totals": "SELECT dataset, company, COUNT(DISTINCT source_month) AS months, MIN(source_month) AS first_month, "
        "MAX(source_month) AS last_month, SUM(trips) AS trips, SUM(net_trips) AS net_trips, SUM(refunds) AS refunds, "
        f"COUNT(DISTINCT {PICKUP}) AS zones, SUM(sum_total_usd) AS total_usd "
        f"FROM {{fct_zone_hour}} WHERE {scope.where} GROUP BY dataset, company ORDER BY trips DESC, company",
        "quantiles": "SELECT dataset, measure, trips, p50, p90 FROM {fct_month_quantiles} "
        f"WHERE {scope.where if scope.month else 'FALSE'} ORDER BY measure",
        "trips_day": "SELECT pickup_date, company, SUM(trips) AS trips "
        f"FROM {{fct_zone_hour}} WHERE {scope.where} AND {_IN_MONTH} GROUP BY pickup_date, company ORDER BY 2, 1",
        "market_share": f"SELECT {scope.grain}, company, SUM(net_trips) AS net_trips "
        f"FROM {{fct_zone_hour}} WHERE {same_month} AND {_IN_MONTH} GROUP BY {scope.grain}, company ORDER BY 2, 1",
        "pickups": f"SELECT dataset, {PICKUP} AS zone, SUM(trips) AS trips, "
        "SUM(CASE WHEN pickup_zone_by_coordinates IS NULL THEN 0 ELSE trips END) AS by_coordinates "
        f"FROM {{fct_zone_hour}} WHERE {scope.where} GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2",
        "hours": "SELECT dataset, CAST(EXTRACT(ISODOW FROM pickup_date) AS INTEGER) AS weekday, pickup_hour, "
        "SUM(trips) AS trips, COUNT(DISTINCT pickup_date) AS days "
        f"FROM {{fct_zone_hour}} WHERE {scope.where} AND {_IN_MONTH} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        "flows": "SELECT part_of_day, zone, SUM(dropoffs) AS dropoffs, SUM(pickups) AS pickups FROM ("
        f"SELECT part_of_day, {DROPOFF} AS zone, plausible_trips AS dropoffs, 0 AS pickups "
        f"FROM {{fct_pair_part}} WHERE {scope.where} UNION ALL "
        f"SELECT part_of_day, {PICKUP}, 0, plausible_trips "
        f"FROM {{fct_pair_part}} WHERE {scope.where}) AS ends GROUP BY part_of_day, zone ORDER BY 1, 2",
        "travel": _travel(scope),
        "speed": _speed(scope),
        "cost": f"SELECT {_cost_time(scope)} AS time, company, SUM(net_trips) AS net_trips, "
        f"SUM(sum_fare_usd) AS fare_usd, {fees} AS fees_usd, "
        "COALESCE(SUM(sum_tolls_usd), 0) AS tolls_usd, COALESCE(SUM(sum_tip_usd), 0) AS tips_usd "
        f"FROM {{fct_zone_hour}} WHERE {scope.recent} AND dataset <> 'fhv' GROUP BY 1, 2 ORDER BY 2, 1",
        "driver_pay": f"SELECT {scope.grain}, company, SUM(trips) AS trips, SUM(sum_driver_pay_usd) AS pay_usd, "
        f"SUM(sum_fare_where_paid_usd) AS fare_usd FROM {{fct_zone_hour}} WHERE {scope.where} AND dataset = 'fhvhv' "
        f"AND {_IN_MONTH} GROUP BY {scope.grain}, company ORDER BY 2, 1",
        "quality": f"SELECT dataset, source_month, {', '.join(_MEASURES_OF_QUALITY)} FROM {{quality_month}} "
        f"WHERE {scope.recent} ORDER BY dataset, source_month",
    }


def _cost_time(scope: Scope) -> str:
    return "source_month" if scope.month else "CAST(EXTRACT(YEAR FROM source_month) AS INTEGER)"


def _travel(scope: Scope) -> str:
    """Return the query of travel times on weekdays from the busiest zones.

    Percentiles of several companies or months do not add up: of these, the company with most trips and the newest
    month are taken, by their names in the rows.
    """
    where = scope.where
    if scope.month is None:
        where = "source_month = (SELECT MAX(source_month) FROM {fct_pair_part})"
    return (
        "WITH month_pairs AS ("
        f"SELECT source_month, dataset, company, part_of_day, {PICKUP} AS start, {DROPOFF} AS zone, plausible_trips, "
        f"p50_minutes, p90_minutes FROM {{fct_pair_part}} WHERE {where} AND NOT is_weekend "
        f"AND {PICKUP} < 264 AND {DROPOFF} < 264), "
        "largest AS (SELECT dataset, company FROM month_pairs GROUP BY dataset, company "
        "ORDER BY SUM(plausible_trips) DESC, dataset, company LIMIT 1), "
        "busiest AS (SELECT m.start FROM month_pairs AS m JOIN largest AS l "
        "ON l.dataset = m.dataset AND l.company = m.company GROUP BY m.start "
        f"ORDER BY SUM(m.plausible_trips) DESC, m.start LIMIT {STARTS}) "
        "SELECT m.source_month, m.company, m.part_of_day, m.start, m.zone, m.plausible_trips AS trips, "
        "m.p50_minutes AS p50, m.p90_minutes AS p90 "
        "FROM month_pairs AS m JOIN largest AS l ON l.dataset = m.dataset AND l.company = m.company "
        "JOIN busiest AS b ON b.start = m.start ORDER BY 4, 3, 5"
    )


def _speed(scope: Scope) -> str:
    """Return the query of speeds by hour on weekdays, of the month and the one a year before, or of all months."""
    months = "f.dataset <> 'fhv' AND f.source_month >= DATE '2023-01-01'"
    if scope.month is not None:
        pair = (scope.month, months_before(scope.month, 12))
        dates = ", ".join(f"DATE '{m.isoformat()}'" for m in pair)
        months = f"f.dataset = '{scope.dataset}' AND f.dataset <> 'fhv' AND f.source_month IN ({dates})"
    grain = "f.pickup_date" if scope.month else "f.source_month"
    return (
        f"SELECT z.is_in_congestion_zone AS inside, f.source_month, {grain} AS time, "
        f"f.pickup_date >= DATE '{CHARGE_BEGINS.isoformat()}' AS after, f.pickup_hour, "
        "SUM(f.plausible_trips) AS trips, SUM(f.sum_plausible_distance_mi) AS miles, "
        "SUM(f.sum_plausible_duration_s) AS seconds "
        f"FROM {{fct_zone_hour}} AS f JOIN {{dim_zone}} AS z ON z.location_id = {PICKUP} "
        f"WHERE {months} AND z.is_place AND {_IN_MONTH} AND EXTRACT(ISODOW FROM f.pickup_date) < 6 "
        "GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
    )


def ask(scope: Scope, query: Query, name: Callable[[str], str]) -> dict[str, Rows]:
    """Return the rows of each question, as plain values that JSON holds.

    Args:
        scope: The page's month and dataset.
        query: Runs a query; returns the names of its columns and its rows.
        name: Returns the full name of a mart.
    """
    found: dict[str, Rows] = {}
    for question, text in queries(scope).items():
        columns, rows = query(re.sub(r"\{(\w+)\}", lambda model: name(model[1]), text))
        found[question] = [{column: plain(value) for column, value in zip(columns, row, strict=True)} for row in rows]
    return found


def plain(value: Any) -> Any:
    """Return a value of a warehouse as JSON has it: exact numbers as floats, dates as texts."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date) else value
