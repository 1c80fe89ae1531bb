"""Charts of when: trips a day, market share, the hours of the week, and quality by month."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import altair as alt

from taxi_assets.reports import style
from taxi_assets.reports.picture import (
    Absent,
    Context,
    Panel,
    Picture,
    data,
    service_scales,
    spread,
    table,
    time_axis,
)
from taxi_assets.reports.questions import Rows

# Above this ratio of the largest service to the smallest, the axis is logarithmic.
LOG_RATIO = 30
# A line has at most so many points, or every seventh day.
MAX_DAYS = 400
# A label in a stacked area needs this share of the height.
LABEL_SHARE = 0.05
REASONS = {
    "rejected_rows": "rejected",
    "refunds": "refunds",
    "null_block_trips": "meter fields empty",
    "no_zone": "no zone, 264 or 265",
    "no_distance_trips": "distance 0",
    "day_long_trips": "23 hours or longer",
    "backward_trips": "ends before it begins",
    "stray_trips": "pickup in another month",
    "unexplained_total_trips": "total is not the sum",
}


def trips_day(rows: Rows, of: Context) -> Picture | Absent:
    """Return the line of trips a day for each service: days of a month, or means of seven days over all years."""
    title = "Trips a day"
    if not rows:
        return Absent("trips_day", title, "there are no trips.")
    by_service = _by(rows, "company", "pickup_date", "trips")
    smooth = of.scope.month is None
    points: list[dict[str, Any]] = []
    for service, days in by_service.items():
        line = seven_day_means(days) if smooth else _runs(days)
        points += [
            {"service": service, "day": day, "trips": value, "run": f"{service} {run}"} for day, value, run in line
        ]
    if not points:
        return Absent("trips_day", title, "no service has seven days in a row.")
    services = sorted({p["service"] for p in points}, key=lambda s: -max(by_service[s].values()))
    highs = {s: max(p["trips"] for p in points if p["service"] == s) for s in services}
    is_log = max(highs.values()) > LOG_RATIO * min(highs.values())
    colors, dashes = service_scales(services)
    low = min((p["trips"] for p in points if p["trips"] > 0), default=1)
    scale = alt.Scale(type="log", domainMin=max(low, 1), nice=True) if is_log else alt.Scale(zero=True)
    base = alt.Chart(data([p for p in points if p["trips"] > 0 or not is_log]))
    years = alt.Axis(format="%Y", tickCount=alt.TimeIntervalStep(interval="year", step=1), grid=False)
    x = alt.X("day:T", title=None, axis=years if smooth and _years(points) > 2 else time_axis(days=not smooth))
    line = base.mark_line(strokeWidth=2, point=not smooth and {"size": 18}).encode(
        x=x,
        y=alt.Y("trips:Q", title="trips a day", scale=scale, axis=alt.Axis(format="~s", tickCount=5)),
        color=alt.Color("service:N", scale=colors, legend=None),
        strokeDash=alt.StrokeDash("service:N", scale=dashes, legend=None),
        detail="run:N",
        tooltip=["service:N", alt.Tooltip("day:T", format="%a %Y-%m-%d"), alt.Tooltip("trips:Q", format=",.0f")],
    )
    ends = {s: max((p for p in points if p["service"] == s), key=lambda p: p["day"]) for s in services}
    shown = [
        {"service": s, "day": ends[s]["day"], "y": y}
        for s, y in _label_places({s: ends[s]["trips"] for s in services}, highs, low, is_log=is_log).items()
    ]
    text = (
        alt.Chart(data(shown))
        .mark_text(align="left", dx=7, fontWeight="bold")
        .encode(x="day:T", y=alt.Y("y:Q", scale=scale), text="service:N", color=alt.Color("service:N", scale=colors))
    )
    totals = {s: sum(by_service[s].values()) for s in services}
    what = "means of seven days" if smooth else "trips that began on each day of the month"
    return Picture(
        "trips_day",
        title,
        of.subtitle(
            f"Unit: trips a day, {what}{', logarithmic axis' if is_log else ''}",
        ),
        f"Line chart of trips a day for {_list(services)}. " + " ".join(_peak(s, by_service[s]) for s in services),
        [Panel(alt.layer(line, text), height=300)],
        table(
            ("service", "days", "trips", "trips a day", "most", "on"),
            [
                (s, len(d), totals[s], round(totals[s] / len(d)), max(d.values()), max(d, key=lambda k: (d[k], k)))
                for s in services
                for d in [by_service[s]]
            ],
        ),
    )


def seven_day_means(days: Mapping[str, float]) -> list[tuple[str, float, int]]:
    """Return the mean of each day and the six before it, with the number of its run of days without a gap.

    Long histories keep every seventh mean.
    """
    found: list[tuple[str, float, int]] = []
    window: list[float] = []
    last, run = None, 0
    for text, trips in sorted(days.items()):
        day = date.fromisoformat(text)
        if last is None or day - last != timedelta(days=1):
            window, run = [], run + 1
        last = day
        window.append(trips)
        if len(window) >= 7 and (len(days) <= MAX_DAYS or (len(window) - 7) % 7 == 0):
            found.append((text, round(sum(window[-7:]) / 7, 1), run))
    return found


def _runs(days: Mapping[str, float]) -> list[tuple[str, float, int]]:
    return [(day, trips, 1) for day, trips in sorted(days.items())]


def _years(points: Sequence[Mapping[str, Any]]) -> float:
    days = [date.fromisoformat(p["day"]) for p in points]
    return (max(days) - min(days)).days / 365


def _label_places(
    ends: Mapping[str, float], highs: Mapping[str, float], low: float, *, is_log: bool
) -> dict[str, float]:
    if not is_log:
        return spread(ends, 0, max(highs.values()))
    placed = spread(
        {s: math.log10(max(v, 1)) for s, v in ends.items()}, math.log10(low), math.log10(max(highs.values()))
    )
    return {s: 10**v for s, v in placed.items()}


def market_share(rows: Rows, of: Context) -> Picture | Absent:
    """Return the stacked shares of the services, by day of a month or by month."""
    title, grain = "Market share", of.scope.grain
    by_service = _by(rows, "company", grain, "net_trips")
    if len(by_service) < 2:
        only = f"only {next(iter(by_service))} is loaded" if by_service else "there are no trips"
        return Absent("market_share", title, f"a share needs two services, and {only}.")
    times = sorted({row[grain] for row in rows})
    sums = {t: sum(max(days.get(t, 0), 0) for days in by_service.values()) for t in times}
    times = [t for t in times if sums[t]]
    services = sorted(by_service, key=lambda s: (-sum(by_service[s].values()), s))
    shares = {s: {t: max(by_service[s].get(t, 0), 0) / sums[t] for t in times} for s in services}
    bars = len(times) <= 2 or (of.scope.month is None and len(times) < 36)
    colors, _ = service_scales(services)
    ordered = [
        {"service": s, "time": t, "share": shares[s][t], "order": i} for i, s in enumerate(services) for t in times
    ]
    x_kind = "O" if bars else "T"
    axis = alt.Axis(labelOverlap=True, labelAngle=0) if bars else time_axis(days=of.scope.month is not None)
    x = alt.X(f"label:{x_kind}" if bars else "time:T", title=None, axis=axis)
    chart = alt.Chart(data([p | {"label": p["time"][:7] if grain == "source_month" else p["time"]} for p in ordered]))
    mark = chart.mark_bar if bars else chart.mark_area
    shape = mark(stroke=style.PAPER, strokeWidth=1.5).encode(
        x=x,
        y=alt.Y(
            "share:Q", stack="zero", title="share of trips", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")
        ),
        color=alt.Color("service:N", scale=colors, sort=services, legend=alt.Legend(title=None, columns=3)),
        order="order:Q",
        tooltip=["service:N", f"label:{x_kind}" if bars else "time:T", alt.Tooltip("share:Q", format=".1%")],
    )
    last = times[-1]
    means = {s: sum(by_service[s].values()) / sum(sums.values()) for s in services}
    texts, below = [], 0.0
    for s in services:
        if shares[s][last] >= LABEL_SHARE and not bars:
            texts.append(
                {"time": last, "y": below + shares[s][last] / 2, "text": f"{s} {style.percent(shares[s][last])}"}
            )
        below += shares[s][last]
    layers = [shape]
    if texts:
        label = alt.Chart(data(texts)).mark_text(align="right", dx=-6, color="#ffffff", fontWeight="bold")
        layers.append(label.encode(x="time:T", y="y:Q", text="text:N"))
    when = "days" if grain == "pickup_date" else "months"
    return Picture(
        "market_share",
        title,
        of.subtitle(f"Unit: share of trips without refunds, by {when[:-1]}, of the services that are loaded for it"),
        f"Shares of trips over {len(times)} {when}: "
        + ", ".join(f"{s} {style.percent(means[s])}" for s in services)
        + ".",
        [Panel(alt.layer(*layers), height=260)],
        table(
            ("service", "trips without refunds", "share"),
            [(s, int(sum(by_service[s].values())), style.percent(means[s])) for s in services],
        ),
    )


def hours(rows: Rows, of: Context) -> Picture | Absent:
    """Return the heat map of the hours of the week, a panel a dataset."""
    title = "The hours of the week"
    datasets = sorted({row["dataset"] for row in rows}, key=list(style.DATASETS).index)
    if not datasets:
        return Absent("hours", title, "there are no trips.")
    panels, peaks, lines = [], [], []
    for name in datasets:
        cells = [
            {"day": style.WEEKDAYS[row["weekday"] - 1], "hour": row["pickup_hour"], "mean": row["trips"] / row["days"]}
            for row in rows
            if row["dataset"] == name
        ]
        bounds = style.steps([round(cell["mean"]) for cell in cells])
        labels = style.step_labels(bounds, max(round(cell["mean"]) for cell in cells))
        for cell in cells:
            cell["step"] = labels[style.step_of(round(cell["mean"]), bounds)]
        top = max(cells, key=lambda cell: cell["mean"])
        peaks.append(f"{style.DATASETS[name]}: most on {top['day']} at {top['hour']} h, {round(top['mean']):,} an hour")
        lines += [
            (style.DATASETS[name], c["day"], f"{c['hour']} h", round(c["mean"], 1))
            for c in sorted(cells, key=lambda c: -c["mean"])[:8]
        ]
        chart = (
            alt.Chart(data(cells))
            .mark_rect(stroke=style.PAPER, strokeWidth=1)
            .encode(
                x=alt.X("hour:O", title="hour of the pickup", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
                y=alt.Y("day:O", sort=list(style.WEEKDAYS), title=None),
                color=step_color("step", labels, "trips an hour"),
                tooltip=["day:O", "hour:O", alt.Tooltip("mean:Q", format=",.1f", title="trips an hour")],
            )
        )
        panels.append(Panel(chart, style.DATASETS[name] if len(datasets) > 1 else "", 200))
    return Picture(
        "hours",
        title,
        of.subtitle("Unit: mean trips that began in an hour, of all days of that weekday that have any in the hour"),
        "Heat map of 24 hours by 7 weekdays. " + ". ".join(peaks) + ".",
        panels,
        table(("service", "day", "hour", "trips an hour"), lines, 32),
        columns=min(len(panels), 2),
    )


def quality(rows: Rows, of: Context) -> Picture | Absent:
    """Return the heat map of what is wrong with each month, by reason, a panel a dataset."""
    title = "What is wrong with the months"
    cells = [cell for row in rows for cell in _faults(row)]
    if not cells:
        return Absent("quality", title, "no month has been counted.")
    datasets = sorted({row["dataset"] for row in rows}, key=list(style.DATASETS).index)
    bounds, labels = [0.0, 1e-9, 0.001, 0.01, 0.05, 0.2], ["none", "to 0.1%", "to 1%", "to 5%", "to 20%", "more"]
    panels = []
    for name in datasets:
        own = [c | {"step": labels[style.step_of(c["share"], bounds)]} for c in cells if c["dataset"] == name]
        count = len({c["month"] for c in own})
        base = alt.Chart(data(own)).encode(
            x=alt.X("month:O", title=None, axis=alt.Axis(labelAngle=-90 if count > 6 else 0, labelOverlap=True)),
            y=alt.Y("reason:N", sort=list(REASONS.values()), title=None, axis=alt.Axis(labelLimit=170)),
        )
        tips = ["month:O", "reason:N", "text:N", alt.Tooltip("rows:Q", format=",")]
        layers = [
            base.mark_rect(stroke=style.PAPER, strokeWidth=1).encode(
                color=step_color("step", labels, "share of the rows"), tooltip=tips
            )
        ]
        if count <= 8:
            dark = {"condition": {"test": "datum.dark", "value": style.PAPER}, "value": style.INK}
            layers.append(
                base.transform_calculate(dark="datum.share >= 0.01")
                .mark_text(fontSize=11)
                .encode(text="text:N", color=dark)  # type: ignore[arg-type]
            )
        panels.append(Panel(alt.layer(*layers), style.DATASETS[name] if len(datasets) > 1 else "", 250))
    worst = sorted(cells, key=lambda c: (-c["share"], c["month"]))
    return Picture(
        "quality",
        title,
        of.subtitle(
            "Unit: share of a month's rows. Rejected rows are in no other chart; all others are kept, and counted here",
        ),
        "Heat map of months by reason. Highest shares: "
        + "; ".join(f"{c['reason']} {c['text']} in {c['month']} ({style.DATASETS[c['dataset']]})" for c in worst[:3])
        + ".",
        panels,
        table(
            ("service", "month", "reason", "rows", "share"),
            [(style.DATASETS[c["dataset"]], c["month"], c["reason"], c["rows"], c["text"]) for c in worst if c["rows"]],
            40,
        ),
    )


def _faults(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows and shares of a month that have each fault; what the dataset cannot have is left out."""
    counts = dict(row)
    counts["no_zone"] = (
        (row["no_pickup_zone_trips"] or 0)
        - (row["pickup_zone_by_coordinates_trips"] or 0)
        + (row["unknown_pickup_zone_trips"] or 0)
    )
    found = []
    for name, reason in REASONS.items():
        whole = row["raw_rows"] if name == "rejected_rows" else row["trips"]
        if counts[name] is None or not whole:
            continue
        share = counts[name] / whole
        found.append(
            {
                "dataset": row["dataset"],
                "month": row["source_month"][:7],
                "reason": reason,
                "rows": int(counts[name]),
                "share": share,
                "text": style.percent(share),
            }
        )
    return found


def step_color(field: str, labels: Sequence[str], title: str) -> alt.Color:
    """Return the colours of ordered classes, whose lightness only falls."""
    count = len(labels)
    chosen = [style.STEPS[round(i * (len(style.STEPS) - 1) / max(count - 1, 1))] for i in range(count)]
    scale = alt.Scale(domain=list(labels), range=chosen if count > 1 else [style.STEPS[-2]])
    return alt.Color(f"{field}:O", scale=scale, sort=list(labels), legend=alt.Legend(title=title, columns=3))


def _by(rows: Rows, group: str, time: str, value: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        found[row[group]][row[time]] = row[value]
    return dict(found)


def _peak(service: str, days: Mapping[str, float]) -> str:
    day = max(days, key=lambda d: (days[d], d))
    return f"{service} has most on {day}, {style.number(days[day])}."


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
