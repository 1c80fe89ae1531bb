"""What a chart is made of: its words, one panel or several side by side, and the numbers as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt

from taxi_assets.reports import style
from taxi_assets.reports.questions import Scope

# Altair's functions are annotated with unions that their results do not have.
AltairChart = Any
# A table's usual length.
TABLE_ROWS = 24


@dataclass(frozen=True)
class Context:
    """What every chart of a page is told: the scope, its months in words, and whether data is made up.

    `shapes` are the zones' features, `zone_names` the names by number.
    """

    scope: Scope
    months: str
    sample: str | None
    shapes: Sequence[Mapping[str, Any]] = ()
    zone_names: Mapping[int, str] = field(default_factory=dict)

    def subtitle(self, *parts: str) -> str:
        """Return a chart's subtitle: unit and remarks, source months, and that samples are samples."""
        texts = [part.rstrip(".") for part in parts if part]
        texts.append(f"Source months: {self.months}")
        return ". ".join([*texts, *([self.sample] if self.sample else [])]) + "."

    def zone_name(self, zone: int | None) -> str:
        """Return the name of a zone."""
        if zone is None:
            return "no zone in the file"
        return self.zone_names.get(zone) or {264: "unknown (264)", 265: "outside the city (265)"}.get(
            zone, f"zone {zone}"
        )


@dataclass(frozen=True)
class Panel:
    """One view of a chart; a page gives it the width that there is."""

    chart: AltairChart
    title: str = ""
    height: int = 260


@dataclass(frozen=True)
class Choice:
    """A choice that a reader has: the parameter of the panels that it sets, and its values with their texts."""

    parameter: str
    label: str
    options: Sequence[tuple[Any, str]]


@dataclass(frozen=True)
class Table:
    """The numbers behind a chart; `more` rows were left out."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    more: int = 0


@dataclass(frozen=True)
class Picture:
    """A chart with its words. `columns` panels stand side by side where there is room."""

    name: str
    title: str
    subtitle: str
    alt: str
    panels: Sequence[Panel]
    table: Table
    columns: int = 1
    choices: Sequence[Choice] = ()
    # Rows that several panels read by the name of the data, so that a page holds them once.
    shared: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Absent:
    """A chart that cannot be drawn, with the reason."""

    name: str
    title: str
    reason: str


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], limit: int = TABLE_ROWS) -> Table:
    """Return a table of texts, cut after `limit` rows; numbers get commas, and None is empty."""
    texts = [[_text(value) for value in row] for row in rows[:limit]]
    return Table(header, texts, max(len(rows) - limit, 0))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return style.number(value) if isinstance(value, int | float) else str(value)


def data(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    """Return rows as the data of a chart."""
    return alt.InlineData(values=[dict(row) for row in rows])


def time_axis(*, days: bool) -> alt.Axis:
    """Return the axis of days or of months, each with at most one label."""
    step = alt.TimeIntervalStep(interval="day" if days else "month", step=2 if days else 1)
    return alt.Axis(format="%d %b" if days else "%b %Y", tickCount=step, grid=False, labelOverlap="greedy")


def service_scales(services: Sequence[str]) -> tuple[alt.Scale, alt.Scale]:
    """Return the scales of colours and dashes of these services."""
    found = [style.SERVICES.get(service, style.OTHER) for service in services]
    colors = alt.Scale(domain=list(services), range=[color for color, _ in found])
    return colors, alt.Scale(domain=list(services), range=[list(dash) or [1, 0] for _, dash in found])


def spread(values: Mapping[str, float], low: float, high: float, gap: float = 0.07) -> dict[str, float]:
    """Return the values moved apart, so that labels at them do not overlap; `gap` is the share of the height."""
    step = (high - low) * gap
    placed: dict[str, float] = {}
    last = low - step
    for name, value in sorted(values.items(), key=lambda item: (item[1], item[0])):
        last = max(value, last + step)
        placed[name] = last
    over = last - high
    # What rose above the top goes down again, with all that it pushed.
    for name in reversed(list(placed)) if over > 0 else ():
        placed[name] = min(placed[name], high)
        high = placed[name] - step
    return placed
