"""The chart of the duration model: how its error grows with its age."""

from collections import defaultdict
from typing import Any

import altair as alt

from taxi_assets.reports import style
from taxi_assets.reports.picture import Context, Panel, Picture, data, service_scales, spread, table
from taxi_assets.reports.questions import Rows

TITLE = "How well the duration model holds"


def drift(rows: Rows, of: Context) -> Picture | None:
    """Return the lines of the models' mean absolute error by their age; None without a model that was scored.

    Args:
        rows: One a model, frozen, and a month that it was scored on: `dataset`, `scored_month`, `age_months`, `trips`,
            `mae` in minutes, and for the month's own model the stronger `floor`.
        of: The page.
    """
    points = _means(rows)
    if not points:
        return None
    services = list(dict.fromkeys(p["service"] for p in points))
    ends = {p["service"]: p for p in points}
    for name, place in spread({s: p["mae"] for s, p in ends.items()}, 0, max(p["mae"] for p in points)).items():
        ends[name] |= {"name": name, "label": place}
    colors, dashes = service_scales(services)
    base = alt.Chart(data(points)).encode(
        x=alt.X("age:O", title="age of the model, in months", axis=alt.Axis(labelAngle=0)),
        color=alt.Color("service:N", scale=colors, legend=None),
    )
    error = alt.Y("mae:Q", title="mean absolute error, in minutes", scale=alt.Scale(zero=True))
    tips = ["service:N", "age:O", alt.Tooltip("mae:Q", format=".2f"), alt.Tooltip("trips:Q", format=",")]
    line = base.mark_line(strokeWidth=2, point={"size": 40}).encode(
        y=error, strokeDash=alt.StrokeDash("service:N", scale=dashes, legend=None), tooltip=tips
    )
    floors = base.transform_filter("datum.floor != null").encode(y="floor:Q")
    tick = floors.mark_tick(thickness=3, width=34, orient="horizontal").encode(tooltip=alt.Tooltip("floor:Q"))
    text = floors.mark_text(align="left", dx=22, text="floor")
    named = base.transform_filter("datum.name != null").encode(y="label:Q", text="name:N")
    words = named.mark_text(align="left", dx=8, fontWeight="bold")
    newest, oldest = points[0], max(points, key=lambda p: p["age"])
    return Picture(
        "drift",
        TITLE,
        of.subtitle(
            "Unit: mean absolute error in minutes, of trips of 1 to 180 minutes. Age 0 is the month that a model was "
            "made for; older models are frozen as they were. The bar is the stronger of the floors",
        ),
        f"Line chart of the error by the model's age for {', '.join(services)}: {newest['mae']:.2f} minutes at the "
        f"age of {newest['age']} and {oldest['mae']:.2f} at {oldest['age']} ({oldest['service']}).",
        [Panel(alt.layer(line, tick, text, words))],
        table(
            ("service", "age in months", "months scored", "trips", "mean absolute error, min", "floor, min"),
            [(p["service"], p["age"], p["months"], p["trips"], p["mae"], p["floor"]) for p in points],
        ),
    )


def _means(rows: Rows) -> list[dict[str, Any]]:
    """Return the error of each dataset and age, over all months scored, weighted by their trips."""
    groups: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for row in rows:
        groups[row["dataset"], row["age_months"]].append(row)
    order = list(style.DATASETS)
    found = []
    for (name, age), own in sorted(groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1])):
        trips = sum(row["trips"] for row in own)
        floored = [row for row in own if row["floor"] is not None]
        weight = sum(row["trips"] for row in floored)
        found.append(
            {
                "service": style.DATASETS[name],
                "age": age,
                "months": len({row["scored_month"] for row in own}),
                "trips": trips,
                "mae": round(sum(row["mae"] * row["trips"] for row in own) / trips, 2),
                "name": None,
                "floor": round(sum(row["floor"] * row["trips"] for row in floored) / weight, 2) if weight else None,
            }
        )
    return found
