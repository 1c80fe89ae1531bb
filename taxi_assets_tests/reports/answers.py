"""Answers of the marts, made up for odd months."""

from typing import Any

from taxi_assets.reports.questions import Answers, Scope, queries


def answers(scope: Scope, trips: int, *, refunds: int = 0, zones: tuple[int | None, ...] = (74, 75, 132)) -> Answers:
    """Return answers of a month of green with so many trips, spread over the zones."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in queries(scope)}
    if not trips:
        return found
    month = f"{scope.month}"
    net = trips - 2 * min(refunds, trips - refunds) if refunds < trips else trips
    money = -10.0 if refunds == trips else 10.0
    found["totals"] = [
        {
            "dataset": "green", "company": "Green taxi", "months": 1, "first_month": month, "last_month": month,
            "trips": trips, "net_trips": net, "refunds": refunds, "zones": len(zones), "total_usd": trips * money,
        }
    ]  # fmt: skip
    found["trips_day"] = [{"pickup_date": month, "company": "Green taxi", "trips": trips}]
    found["market_share"] = [{"pickup_date": month, "company": "Green taxi", "net_trips": net}]
    found["pickups"] = [
        {"dataset": "green", "zone": zone, "trips": trips // len(zones) or 1, "by_coordinates": 0} for zone in zones
    ]
    found["hours"] = [{"dataset": "green", "weekday": 3, "pickup_hour": 8, "trips": trips, "days": 1}]
    found["cost"] = [
        {
            "time": month, "company": "Green taxi", "net_trips": net, "fare_usd": trips * money, "fees_usd": 1.0,
            "tolls_usd": 0, "tips_usd": 2.5,
        }
    ]  # fmt: skip
    counts = dict.fromkeys(
        ("rejected_rows", "null_block_trips", "stray_trips", "no_pickup_zone_trips", "pickup_zone_by_coordinates_trips",
         "unknown_pickup_zone_trips", "no_distance_trips", "day_long_trips", "backward_trips",
         "unexplained_total_trips", "plausible_trips"), 0,
    )  # fmt: skip
    found["quality"] = [
        counts | {"dataset": "green", "source_month": month, "raw_rows": trips, "trips": trips, "refunds": refunds}
    ]
    return found
