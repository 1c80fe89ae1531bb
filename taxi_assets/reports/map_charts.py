"""Charts of where: pickups and dropoffs by zone, net flow by part of day, and travel times from a zone."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import altair as alt

from taxi_assets.reports import style
from taxi_assets.reports.picture import Absent, AltairChart, Choice, Context, Panel, Picture, data, table
from taxi_assets.reports.questions import Rows
from taxi_assets.reports.time_charts import step_color

MINUS = "\N{MINUS SIGN}"
NET = f"dropoffs {MINUS} pickups"
NO_PLACE = (264, 265, None)
NO_SHAPES = "the lake has no zone shapes; materialize `zones`."
NO_ZONES = "these files have no zone of the {} that is a place."
MINUTES = (0, 10, 20, 30, 45, 60)


def zones(pickups: Rows, flows: Rows, of: Context) -> Picture | Absent:
    """Return the maps of pickups by zone, a map a dataset, and of dropoffs where the page is about one dataset."""
    title = "Where trips begin and end" if of.scope.month else "Where trips begin"
    if not of.shapes:
        return Absent("zones", title, NO_SHAPES)
    counts: dict[str, dict[int | None, float]] = defaultdict(dict)
    for row in pickups:
        counts[row["dataset"]][row["zone"]] = row["trips"]
    views = {style.DATASETS[name] if len(counts) > 1 else "Pickups": found for name, found in counts.items()}
    if of.scope.month:
        ends: dict[int | None, float] = defaultdict(float)
        for row in flows:
            ends[row["zone"]] += row["dropoffs"]
        views["Dropoffs"] = dict(ends)
    panels, remarks = [], []
    for name, found in views.items():
        here = {zone: trips for zone, trips in found.items() if zone is not None and zone not in NO_PLACE and trips}
        if here:
            panels.append(Panel(_counts_map(here, of, "trips"), name, 430))
            remarks.append(_left_out(name, found))
    if not panels:
        return Absent("zones", title, NO_ZONES.format("pickup"))
    first = next(iter(views.values()))
    top = sorted((z for z in first if z not in NO_PLACE), key=lambda z: (-first[z], z))
    whole = sum(first.values())
    found_by = "Zones of files without zone ids are those that the coordinates lie in"
    by_coordinates = found_by if any(row["by_coordinates"] for row in pickups) else ""
    plausible = "Dropoffs are counted of plausible trips with both zones" if of.scope.month else ""
    return Picture(
        "zones",
        title,
        of.subtitle(
            "Unit: trips, in steps that grow by a factor; hatched zones have none", *remarks, plausible, by_coordinates
        ),
        f"Map of the taxi zones. Most pickups{'' if len(counts) < 2 else f' of {next(iter(views))}'}: "
        + ", ".join(f"{of.zone_name(z)} {style.number(first[z])}" for z in top[:6])
        + ".",
        panels,
        table(
            (
                "zone",
                "name",
                *(f"{name.lower()}" if name in ("Pickups", "Dropoffs") else name for name in views),
                "share of the first",
            ),
            [
                (
                    str(z),
                    of.zone_name(z),
                    *(found.get(z, 0) for found in views.values()),
                    style.percent(first[z] / whole),
                )
                for z in top
            ],
        ),
        columns=2,
    )


def _left_out(name: str, found: Mapping[int | None, float]) -> str:
    """Return what of the trips is on no map."""
    whole, texts = sum(found.values()), []
    for zone, what in ((264, "264, unknown"), (265, "265, outside the city"), (None, "no zone")):
        if found.get(zone):
            texts.append(f"{style.number(found[zone])} ({style.percent(found[zone] / whole)}) of {what}")
    return f"{name}: not on the map are {', '.join(texts)}" if texts else f"{name}: all are on the map"


def _counts_map(values: Mapping[int, float], of: Context, unit: str) -> AltairChart:
    """Return a map of counts, which a few zones have hundreds of times as many of as most."""
    bounds = style.log_steps(list(values.values()))
    labels = style.step_labels(bounds, max(values.values()))
    rows = [{"id": z, "value": v, "step": labels[style.step_of(v, bounds)]} for z, v in values.items()]
    tip = alt.Tooltip("value:Q", format=",", title=unit)
    return _map(rows, of, step_color("step", labels, unit), [tip], set(values))


def _map(
    rows: Sequence[Mapping[str, Any]],
    of: Context,
    color: alt.Color,
    tips: Sequence[Any],
    known: set[int],
    dotted: Collection[int] = (),
) -> AltairChart:
    """Return a map that fills the zones of the rows; the others are hatched, and those `dotted` have a dot."""
    found = alt.LookupData(data=data(rows), key="id", fields=["value", "step"])
    base = alt.Chart(alt.NamedData(name="zones"))
    filled = (
        base.mark_geoshape(stroke=style.HATCH, strokeWidth=0.4)
        .transform_lookup(lookup="id", from_=found)
        .transform_filter("isValid(datum.step)")
        .encode(color=color, tooltip=[alt.Tooltip("properties.zone:N", title="zone"), *tips])
    )
    return alt.layer(*_ground(of, known), filled, *_dots(of, dotted)).project("mercator")


def _dots(of: Context, zones: Collection[int]) -> list[AltairChart]:
    """Return a dot within each of the zones, which is seen without colours, too."""
    import shapely
    from shapely.geometry import shape

    points = [shapely.point_on_surface(shape(f["geometry"])) for f in of.shapes if f["id"] in zones]
    if not points:
        return []
    dots = alt.Chart(data([{"x": round(point.x, 4), "y": round(point.y, 4)} for point in points]))
    mark = dots.mark_circle(size=12, fill=style.PAPER, stroke=style.INK, strokeWidth=0.7, opacity=1)
    return [mark.encode(longitude="x:Q", latitude="y:Q")]


def _ground(of: Context, known: set[int]) -> list[AltairChart]:
    """Return the zones without data, their outlines and the hatches within them."""
    outline = alt.Chart(alt.NamedData(name="zones")).mark_geoshape(
        fill=style.PAPER, stroke=style.HATCH, strokeWidth=0.4
    )
    lines = hatches([f for f in of.shapes if f["id"] not in known])
    if not lines:
        return [outline]
    hatched = alt.Chart(
        alt.InlineData(values=[{"type": "Feature", "geometry": {"type": "MultiLineString", "coordinates": lines}}])
    )
    return [outline, hatched.mark_geoshape(filled=False, stroke=style.HATCH, strokeWidth=0.5)]


def hatches(features: Sequence[Mapping[str, Any]], gap: float = 0.006) -> list[list[list[float]]]:
    """Return diagonal lines within the shapes, as coordinates; a pattern would not be drawn in a PNG."""
    import shapely
    from shapely.geometry import shape

    if not features:
        return []
    area = shapely.union_all([shape(feature["geometry"]) for feature in features])
    west, south, east, north = area.bounds
    start, found = west - (north - south), []
    while start < east:
        found.append(shapely.LineString([(start, south), (start + north - south, north)]))
        start += gap
    inside = shapely.intersection(shapely.MultiLineString(found), area)
    parts = [part for part in shapely.get_parts(inside) if part.geom_type == "LineString"]
    return [[[round(x, 4), round(y, 4)] for x, y in part.coords] for part in parts]


def flows(rows: Rows, of: Context) -> Picture | Absent:
    """Return the maps of dropoffs without pickups by zone, one for each part of the day."""
    title = "Where the day brings people"
    if not of.shapes:
        return Absent("flows", title, NO_SHAPES)
    net: dict[str, dict[int, float]] = defaultdict(dict)
    for row in rows:
        if row["zone"] not in NO_PLACE:
            net[row["part_of_day"]][row["zone"]] = row["dropoffs"] - row["pickups"]
    if not net:
        return Absent("flows", title, NO_ZONES.format("pickup and dropoff"))
    sizes = sorted(abs(v) for found in net.values() for v in found.values() if v)
    near = max(_nice(sizes[len(sizes) * 6 // 10]), 1) if sizes else 1
    far = max(_nice(sizes[len(sizes) * 9 // 10]), near * 3) if sizes else 3
    small = max(near // 5, 1)
    labels = [
        f"{MINUS}{style.number(far)} and less",
        f"{MINUS}{style.number(near)} to {MINUS}{style.number(far)}",
        f"{MINUS}{style.number(small)} to {MINUS}{style.number(near)}",
        "about even",
        f"{style.number(small)} to {style.number(near)}",
        f"{style.number(near)} to {style.number(far)}",
        f"{style.number(far)} and more",
    ]
    color = alt.Color(
        "step:O",
        scale=alt.Scale(domain=labels, range=list(style.DIVERGING)),
        sort=labels,
        legend=alt.Legend(title=NET, columns=2),
    )
    panels, lines = [], []
    for part, words in style.PARTS_OF_DAY.items():
        found = net.get(part, {})
        if not found:
            continue
        values = [{"id": z, "value": v, "step": labels[_diverging(v, small, near, far)]} for z, v in found.items()]
        tip = alt.Tooltip("value:Q", format="+,", title=NET)
        losing = [zone for zone, value in found.items() if value <= -small]
        panels.append(Panel(_map(values, of, color, [tip], set(found), losing), words, 330))
        ordered = sorted(found, key=lambda z: (found[z], z))
        for zone in (*ordered[:3], *reversed(ordered[-3:])):
            lines.append((words, of.zone_name(zone), f"{found[zone]:+,.0f}".replace("-", MINUS)))
    first = panels[0].title
    return Picture(
        "flows",
        title,
        of.subtitle(
            "Unit: dropoffs without pickups, of plausible trips with both zones in the city",
            "A dot is where more trips begin than end",
            "Hatched zones have none",
        ),
        "Small maps of the zones by part of day. "
        + "; ".join(f"{when}: {name} {value}" for when, name, value in lines if when == first)
        + ".",
        panels,
        table(("part of the day", "zone", NET), lines, 40),
        columns=3,
    )


def _nice(value: float) -> int:
    size: int = 10 ** max(len(str(int(value))) - 1, 0)
    return int(value // size * size) or 1


def _diverging(value: float, small: float, near: float, far: float) -> int:
    distance = sum(abs(value) >= bound for bound in (small, near, far))
    return 3 + (distance if value > 0 else -distance)


def travel(rows: Rows, of: Context) -> Picture | Absent:
    """Return the maps of minutes from a zone that the reader chooses: the median and the ninth of ten."""
    title = "How long it takes from here"
    if not of.shapes:
        return Absent("travel", title, NO_SHAPES)
    if not rows:
        return Absent("travel", title, "no plausible trip on a weekday has both zones.")
    starts = list(dict.fromkeys(row["start"] for row in rows))
    trips: dict[tuple[int, str], int] = defaultdict(int)
    for row in rows:
        trips[row["start"], row["part_of_day"]] += row["trips"]
    start, part = max(trips, key=lambda pair: (trips[pair], -pair[0]))
    parts = [p for p in style.PARTS_OF_DAY if any(pair[1] == p for pair in trips)]
    values = [
        {
            "id": r["zone"],
            "start": r["start"],
            "part": r["part_of_day"],
            "n": r["trips"],
            "p50": r["p50"],
            "p90": r["p90"],
        }
        for r in rows
    ]
    panels = [
        Panel(_travel_map(measure, start, part), words, 430)
        for measure, words in (("p50", "Half of the trips arrive within"), ("p90", "Nine of ten arrive within"))
    ]
    shown = sorted((r for r in rows if r["start"] == start and r["part_of_day"] == part), key=lambda r: -r["trips"])
    company, month = rows[0]["company"], rows[0]["source_month"][:7]
    of_one = f"{company}, weekdays of {month}"
    where = f"from {of.zone_name(start)}, {style.PARTS_OF_DAY[part].lower()} h"
    return Picture(
        "travel",
        title,
        of.subtitle(
            f"Unit: minutes of plausible trips of {of_one}", f"At first {where}", "Zones without trips are empty"
        ),
        f"Two maps of minutes to each zone {where}. "
        + "; ".join(f"{of.zone_name(r['zone'])}: {r['p50']} min, nine of ten within {r['p90']}" for r in shown[:4])
        + ".",
        panels,
        table(
            ("from", "part of the day", "to", "trips", "half within, min", "nine of ten within, min"),
            [
                (of.zone_name(start), style.PARTS_OF_DAY[part], of.zone_name(r["zone"]), r["trips"], r["p50"], r["p90"])
                for r in shown
            ],
        ),
        columns=2,
        choices=(
            Choice("start", "From", [(z, of.zone_name(z)) for z in sorted(starts, key=lambda z: z != start)]),
            Choice(
                "part", "Part of the day", [(p, style.PARTS_OF_DAY[p]) for p in sorted(parts, key=lambda p: p != part)]
            ),
        ),
        shared={"travel": values},
    )


def _travel_map(measure: str, start: int, part: str) -> AltairChart:
    chosen = [alt.param(name="start", value=start), alt.param(name="part", value=part)]
    ground = alt.Chart(alt.NamedData(name="zones")).mark_geoshape(fill=style.PAPER, stroke=style.HATCH, strokeWidth=0.4)
    shape = alt.LookupData(data=alt.NamedData(name="zones"), key="id", fields=["type", "geometry", "properties"])
    color = alt.Color(
        f"{measure}:Q",
        scale=alt.Scale(type="threshold", domain=list(MINUTES[1:]), range=list(style.STEPS)),
        legend=alt.Legend(title="minutes"),
    )
    tips = [("properties.zone:N", "to"), ("p50:Q", "half within, min"), ("p90:Q", "nine of ten, min"), ("n:Q", "trips")]
    filled = (
        alt.Chart(alt.NamedData(name="travel"))
        .transform_filter("datum.start == start && datum.part == part")
        .transform_lookup(lookup="id", from_=shape)
        .mark_geoshape(stroke=style.HATCH, strokeWidth=0.4)
        .encode(color=color, tooltip=[alt.Tooltip(name, title=words) for name, words in tips])
    )
    here = (
        alt.Chart(alt.NamedData(name="zones"))
        .transform_filter("datum.id == start")
        .mark_geoshape(filled=False, stroke="#d2408c", strokeWidth=2.5)
    )
    return alt.layer(ground, filled, here).add_params(*chosen).project("mercator")
