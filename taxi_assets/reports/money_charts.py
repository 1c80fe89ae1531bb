"""Charts of speed and money: miles an hour, what a ride costs, and drivers' pay against fares."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from taxi_assets.reports import style
from taxi_assets.reports.picture import (
    Absent,
    AltairChart,
    Context,
    Panel,
    Picture,
    data,
    service_scales,
    table,
    time_axis,
)
from taxi_assets.reports.questions import CHARGE_BEGINS, Rows

START = CHARGE_BEGINS.isoformat()
# A speed of fewer trips says little.
MIN_TRIPS = 5
MIN_TRIPS_OF_ALL = 200
COST_PARTS = (
    ("fare_usd", "fare"),
    ("fees_usd", "fees and taxes"),
    ("tolls_usd", "tolls"),
    ("tips_usd", "tips recorded"),
)
LINES = alt.Legend(title=None, symbolType="stroke", symbolStrokeWidth=3, symbolSize=300)
DASHES = alt.Legend(title=None, symbolType="stroke", symbolStrokeWidth=2, symbolSize=300, symbolStrokeColor=style.INK)
PERIODS = {
    False: ("before the charge", style.SERVICES["Uber"][0], [7, 3]),
    True: ("since the charge", "#b3541e", [1, 0]),
}


def speed(rows: Rows, of: Context) -> Picture | Absent:
    """Return the speeds by hour within and outside of the congestion zone, before and after its charge began."""
    title = "How fast the traffic is"
    panels, lines = [], []
    for inside, words in ((True, "From zones in the congestion zone"), (False, "From all other zones")):
        own = [r for r in rows if bool(r["inside"]) is inside and r["trips"] >= MIN_TRIPS and r["seconds"]]
        if sum(r["trips"] for r in own) < MIN_TRIPS_OF_ALL:
            continue
        hours = speed_hours(own)
        panels.append(Panel(_hours_chart(hours), words, 260))
        lines += [
            (words, h["period"], f"{h['hour']} h", h["p25"], h["p50"], h["p75"], h["n"])
            for h in hours
            if h["hour"] in (8, 12, 17, 22)
        ]
        if of.scope.month is None:
            panels.append(Panel(_months_chart(own), f"{words}, by month", 260))
    if not panels:
        why = "its files have no distances" if of.scope.dataset == "fhv" else "there are too few trips with a speed"
        return Absent("speed", title, f"{why}.")
    unit = "days" if of.scope.month else "months"
    shown = [line for line in lines if line[2] == "17 h"] or lines
    return Picture(
        "speed",
        title,
        of.subtitle(
            f"Unit: miles an hour of plausible trips on weekdays; line: median of {unit}, band: the middle half",
            f"The charge for the zone began on {START}",
            _compared(rows, of),
        ),
        "Line chart of speed by hour of the pickup. "
        + "; ".join(
            f"{where.lower()}, {period}, at {hour}: {style.number(p50)} mph"
            for where, period, hour, _, p50, *_ in shown
        )
        + ".",
        panels,
        table(("from", "period", "hour", "P25", "median, mph", "P75", unit), lines, 32),
        columns=2,
    )


def _compared(rows: Rows, of: Context) -> str:
    months = sorted({row["source_month"][:7] for row in rows})
    return f"Compared are {' and '.join(months)}" if of.scope.month and len(months) > 1 else ""


def speed_hours(rows: Rows) -> list[dict[str, Any]]:
    """Return median and middle half of the speeds of each hour, over the days or months of a period."""
    times: dict[tuple[bool, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    for row in rows:
        sums = times[bool(row["after"]), row["pickup_hour"]][row["time"]]
        sums[0] += row["miles"]
        sums[1] += row["seconds"]
    found = []
    for (after, hour), of_time in sorted(times.items()):
        values = [3600 * miles / seconds for miles, seconds in of_time.values()]
        low, middle, high = (round(float(v), 2) for v in np.percentile(values, (25, 50, 75)))
        period = PERIODS[after][0]
        found.append({"period": period, "hour": hour, "p25": low, "p50": middle, "p75": high, "n": len(values)})
    return found


def _period_scales(periods: Sequence[str]) -> tuple[alt.Scale, alt.Scale]:
    chosen = [found for found in PERIODS.values() if found[0] in periods]
    names = [name for name, *_ in chosen]
    return (
        alt.Scale(domain=names, range=[color for _, color, _ in chosen]),
        alt.Scale(domain=names, range=[dash for *_, dash in chosen]),
    )


def _hours_chart(hours: Sequence[Mapping[str, Any]]) -> AltairChart:
    colors, dashes = _period_scales([h["period"] for h in hours])
    base = alt.Chart(data(hours)).encode(
        x=alt.X(
            "hour:Q",
            title="hour of the pickup",
            scale=alt.Scale(domain=[0, 23]),
            axis=alt.Axis(tickCount=8, grid=False),
        )
    )
    y = alt.Y("p25:Q", title="miles an hour", scale=alt.Scale(zero=True))
    return alt.layer(
        base.mark_area(opacity=0.22).encode(y=y, y2="p75:Q", color=alt.Color("period:N", scale=colors, legend=None)),
        base.mark_line(strokeWidth=2.2).encode(
            y="p50:Q",
            color=alt.Color("period:N", scale=colors, legend=LINES),
            strokeDash=alt.StrokeDash("period:N", scale=dashes, legend=LINES),
            tooltip=["period:N", "hour:Q", "p25:Q", "p50:Q", "p75:Q", "n:Q"],
        ),
    )


def _months_chart(rows: Rows) -> AltairChart:
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in rows:
        sums[row["source_month"]][0] += row["miles"]
        sums[row["source_month"]][1] += row["seconds"]
    points: list[dict[str, Any]] = [
        {"month": m, "mph": round(3600 * miles / s, 2)} for m, (miles, s) in sorted(sums.items())
    ]
    line = (
        alt.Chart(data(points))
        .mark_line(color=style.INK, strokeWidth=2, point={"color": style.INK, "size": 22})
        .encode(
            x=alt.X("month:T", title=None, axis=time_axis(days=False)),
            y=alt.Y("mph:Q", title="miles an hour", scale=alt.Scale(zero=True)),
            tooltip=[alt.Tooltip("month:T", format="%Y-%m"), "mph:Q"],
        )
    )
    if not points[0]["month"] <= START <= points[-1]["month"]:
        return alt.layer(line)
    mark = alt.Chart(data([{"month": START, "text": "charge begins"}]))
    rule = mark.mark_rule(color="#b3541e", strokeDash=[4, 3], strokeWidth=1.5).encode(x="month:T")
    text = mark.mark_text(align="right", dx=-5, color=style.INK).encode(x="month:T", y=alt.value(10), text="text:N")
    return alt.layer(line, rule, text)


def cost(rows: Rows, of: Context) -> Picture | Absent:
    """Return the stacked bars of what a ride costs, by month or by year, a panel a service."""
    title = "What a ride costs"
    own = [row for row in rows if row["net_trips"] > 0 and row["fare_usd"] is not None]
    if not own:
        why = "its files have no money" if of.scope.dataset == "fhv" else "no trip is left that was paid"
        return Absent("cost", title, f"{why}.")
    services = list(dict.fromkeys(row["company"] for row in own))
    panels, lines = [], []
    for service in services:
        bars = []
        for row in (r for r in own if r["company"] == service):
            when = str(row["time"])[:7]
            values = [(words, round(row[name] / row["net_trips"], 3)) for name, words in COST_PARTS]
            bars += [{"time": when, "part": words, "usd": usd, "order": i} for i, (words, usd) in enumerate(values)]
            lines.append(
                (service, when, *(round(usd, 2) for _, usd in values), round(sum(usd for _, usd in values), 2))
            )
        panels.append(Panel(_bars(bars), service if len(services) > 1 else "", 260))
    every = "month" if of.scope.month else "year"
    last = [line for line in lines if line[1] == max(x[1] for x in lines)]
    return Picture(
        "cost",
        title,
        of.subtitle(
            f"Unit: USD a trip by {every}, sums of money by trips without refunds",
            "Tips are those that were recorded, which cash tips are not",
            "Fees and taxes are all that the files name",
        ),
        f"Stacked bars of USD a trip by {every}. "
        + "; ".join(f"{s} {when}: fare {fare:.2f}, in all {whole:.2f} USD" for s, when, fare, *_, whole in last)
        + ".",
        panels,
        table(("service", every, *(f"{words}, USD" for _, words in COST_PARTS), "together, USD"), lines[::-1], 40),
        columns=min(len(panels), 2),
    )


def _bars(bars: Sequence[Mapping[str, Any]]) -> AltairChart:
    names = [words for _, words in COST_PARTS]
    base = alt.Chart(data(bars))
    stacked = base.mark_bar(stroke=style.HATCH, strokeWidth=0.8, width={"band": 0.7}).encode(
        x=alt.X("time:O", title=None, axis=alt.Axis(labelAngle=-90 if len(bars) > 24 else 0, labelOverlap=True)),
        y=alt.Y("usd:Q", stack="zero", title="USD a trip", axis=alt.Axis(tickCount=5)),
        color=alt.Color(
            "part:N",
            sort=names,
            scale=alt.Scale(domain=names, range=list(style.PARTS)),
            legend=alt.Legend(title=None, columns=2),
        ),
        order="order:Q",
        tooltip=["time:O", "part:N", alt.Tooltip("usd:Q", format=".2f")],
    )
    total = base.transform_aggregate(whole="sum(usd)", groupby=["time"]).mark_text(dy=-7)
    return alt.layer(stacked, total.encode(x="time:O", y="whole:Q", text=alt.Text("whole:Q", format=".2f")))


def driver_pay(rows: Rows, of: Context) -> Picture | Absent:
    """Return drivers' pay and passengers' fare a trip, and their ratio, for each company."""
    title, grain = "Driver pay against fare", of.scope.grain
    own = [r for r in rows if r["pay_usd"] is not None and r["fare_usd"] and r["trips"]]
    if not own:
        none = of.scope.dataset in (None, "fhvhv")
        why = "no trip has a driver's pay" if none else "only fhvhv, the files of Uber and Lyft, have drivers' pay"
        return Absent("driver_pay", title, f"{why}.")
    services = list(dict.fromkeys(r["company"] for r in own))
    points = [
        {"time": r[grain], "service": r["company"], "what": what, "usd": round(r[name] / r["trips"], 3)}
        for r in own
        for name, what in (("fare_usd", "fare"), ("pay_usd", "driver pay"))
    ]
    ratios = [{"time": r[grain], "service": r["company"], "share": round(r["pay_usd"] / r["fare_usd"], 4)} for r in own]
    colors, dashes = service_scales(services)
    axis = time_axis(days=grain == "pickup_date")
    x = alt.X("time:T", title=None, axis=axis)
    two = alt.Scale(domain=["fare", "driver pay"], range=[[1, 0], [4, 3]])
    color = alt.Color("service:N", scale=colors, legend=LINES)
    money = (
        alt.Chart(data(points))
        .mark_line(strokeWidth=2, point={"size": 18})
        .encode(
            x=x,
            y=alt.Y("usd:Q", title="USD a trip"),
            color=color,
            strokeDash=alt.StrokeDash("what:N", scale=two, legend=DASHES),
            tooltip=["service:N", "what:N", "time:T", alt.Tooltip("usd:Q", format=".2f")],
        )
    )
    ratio = (
        alt.Chart(data(ratios))
        .mark_line(strokeWidth=2, point={"size": 18})
        .encode(
            x=x,
            y=alt.Y("share:Q", title="pay of fare", axis=alt.Axis(format="%"), scale=alt.Scale(zero=False)),
            color=color,
            strokeDash=alt.StrokeDash("service:N", scale=dashes, legend=None),
            tooltip=["service:N", "time:T", alt.Tooltip("share:Q", format=".1%")],
        )
    )
    sums = {
        s: [sum(r[n] for r in own if r["company"] == s) for n in ("trips", "fare_usd", "pay_usd")] for s in services
    }
    return Picture(
        "driver_pay",
        title,
        of.subtitle(
            "Unit: USD a trip, before tips, tolls, taxes and fees; below, pay as a share of fare, ratio of sums"
        ),
        "Lines of fare and driver pay a trip. "
        + "; ".join(
            f"{s}: fare {f / n:.2f}, pay {p / n:.2f} USD, {style.percent(p / f)}" for s, (n, f, p) in sums.items()
        )
        + ".",
        [Panel(money, "", 240), Panel(ratio, "Pay as a share of fare", 160)],
        table(
            ("company", "trips", "fare, USD a trip", "driver pay, USD a trip", "pay of fare"),
            [(s, n, round(f / n, 2), round(p / n, 2), style.percent(p / f)) for s, (n, f, p) in sums.items()],
        ),
    )
