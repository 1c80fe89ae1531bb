"""How all charts look: one colour and one dash a service, scales whose lightness only grows, and texts of numbers.

The colours below are those of a light page and of a PNG. On a page, `page.css` replaces them by variables, so that they
follow the reader's light or dark mode: see `render.themed`.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

INK, PAPER, FAINT, HATCH = "#1b1e25", "#fffffe", "#d9dce3", "#8a8f9a"
# Each has a contrast of at least 3 with the light and the dark page. Dashes tell them apart where colours do not.
SERVICES: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "Yellow taxi": ("#b07d0a", ()),
    "Green taxi": ("#2e8b57", (7, 3)),
    "For-hire bases": ("#7f7f86", (2, 2)),
    "Uber": ("#4a6fd8", (12, 3)),
    "Lyft": ("#d2408c", (7, 3, 2, 3)),
    "Via": ("#1b8a9c", (1, 3)),
    "Juno": ("#9257cc", (3, 5)),
}
OTHER = ("#8c6d5a", (5, 5))
DATASETS = {"yellow": "Yellow taxi", "green": "Green taxi", "fhv": "For-hire bases", "fhvhv": "Uber, Lyft, Via, Juno"}
# From few to many; in dark mode the page turns them round.
STEPS = ("#fdf0b0", "#d9c87a", "#a59c74", "#717170", "#3f4f70", "#0b2a5a")
# From leaving to arriving, round a neutral middle; both ends are equally dark.
DIVERGING = ("#8a3b00", "#c77a35", "#ecc69c", "#efefee", "#a9cbe6", "#4a8cc0", "#0a4f86")
PARTS = ("#27507f", "#5b8fb9", "#a8c4a2", "#f2dc8f")
FONT = "system-ui, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
PARTS_OF_DAY = {
    "night": "Night, 0 to 6",
    "morning": "Morning, 6 to 10",
    "midday": "Midday, 10 to 16",
    "evening": "Evening, 16 to 20",
    "late": "Late, 20 to 24",
}


def color(service: str) -> str:
    """Return the colour of a service."""
    return SERVICES.get(service, OTHER)[0]


def config() -> dict[str, Any]:
    """Return the configuration of every chart."""
    axis = {
        "labelColor": INK,
        "titleColor": INK,
        "domainColor": HATCH,
        "tickColor": HATCH,
        "gridColor": FAINT,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    }
    legend = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12, "orient": "top"}
    return {
        "font": FONT,
        "background": None,
        "view": {"stroke": None},
        "axis": axis,
        "legend": legend | {"titleFontWeight": "normal", "symbolStrokeColor": HATCH, "symbolStrokeWidth": 0.5},
        "header": {"labelColor": INK, "titleColor": INK},
        "title": {"color": INK, "subtitleColor": INK, "anchor": "start"},
        "text": {"color": INK, "fontSize": 12},
        "aria": False,
    }


def number(value: float) -> str:
    """Return a count with commas, or another number with as many decimals as it needs."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def percent(share: float) -> str:
    """Return a share as a percentage; one that is there is never shown as 0."""
    text = f"{share:.1%}"
    return text if share == 0 or text != "0.0%" else "<0.1%"


def months_text(months: Sequence[date]) -> str:
    """Return the span of months, as 2020-04 or 2020-04 to 2023-06."""
    texts = sorted(f"{month:%Y-%m}" for month in months)
    return texts[0] if len(set(texts)) == 1 else f"{texts[0]} to {texts[-1]}"


def steps(values: Sequence[float], count: int = len(STEPS)) -> list[float]:
    """Return the lower bounds of at most `count` classes with about equally many values each, rounded to two digits.

    The first bound is below every value; there are fewer classes if values repeat.
    """
    ordered = sorted(values)
    if not ordered:
        return []
    bounds = [ordered[0]]
    for number_of in range(1, count):
        value = _two_digits(ordered[number_of * len(ordered) // count])
        if value > bounds[-1] and value <= ordered[-1]:
            bounds.append(value)
    return bounds


def log_steps(values: Sequence[float], count: int = len(STEPS)) -> list[float]:
    """Return whole lower bounds of classes of counts, each as many times the one before, from the least count on."""
    if not values:
        return []
    least = max(min(values), 1)
    # The last class holds those with at least a third of the largest.
    ratio = max(max(values) / 3 / least, 2) ** (1 / (count - 1))
    bounds = [float(int(least))]
    for number_of in range(1, count):
        value = float(round(_two_digits(float(round(least * ratio**number_of)))))
        if bounds[-1] < value <= max(values):
            bounds.append(value)
    return bounds


def step_of(value: float, bounds: Sequence[float]) -> int:
    """Return the number of the class that a value is in."""
    return max(sum(value >= bound for bound in bounds) - 1, 0)


def step_labels(bounds: Sequence[float], last: float, unit: str = "") -> list[str]:
    """Return the text of each class of whole numbers, or of others without the upper end."""
    whole = all(bound == int(bound) for bound in (*bounds, last))
    labels = []
    for low, high in zip(bounds, [*bounds[1:], None], strict=True):
        if not whole:
            labels.append(f"from {number(low)}{unit}")
            continue
        top = int(last if high is None else high - 1)
        labels.append(f"{number(low)}{unit}" if top <= low else f"{number(low)}\N{EN DASH}{number(top)}{unit}")
    return labels


def _two_digits(value: float) -> float:
    if value == 0:
        return 0.0
    size = 10.0 ** (len(str(int(abs(value)))) - 2) if abs(value) >= 10 else 1.0 if value == int(value) else 0.1
    return round(round(value / size) * size, 1)
