"""How charts look: contrasts, scales whose lightness only falls, classes, and labels that do not overlap."""

import itertools
from collections.abc import Sequence

import pytest

from taxi_assets.reports import style
from taxi_assets.reports.picture import spread
from taxi_assets.reports.time_charts import seven_day_means

LIGHT, DARK = "#fffffe", "#16181d"


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", [LIGHT, DARK])
def test_every_service_is_seen_on_the_light_and_the_dark_page(page: str) -> None:
    assert {s: contrast(c, page) for s, (c, _) in style.SERVICES.items() if contrast(c, page) < 3} == {}


def test_no_two_services_share_a_colour_or_a_dash() -> None:
    colors, dashes = zip(*style.SERVICES.values(), strict=True)
    assert len(set(colors)) == len(set(dashes)) == len(style.SERVICES)


@pytest.mark.parametrize("scale", [style.STEPS, style.PARTS[::-1]])
def test_lightness_of_sequential_scales_only_falls(scale: Sequence[str]) -> None:
    found = [luminance(color) for color in scale]
    assert all(a > b * 1.2 for a, b in itertools.pairwise(found)), found


def test_both_ends_of_the_diverging_scale_are_equally_dark_round_a_light_middle() -> None:
    found = [luminance(color) for color in style.DIVERGING]
    middle = len(found) // 2
    assert found[middle] == max(found)
    assert all(a < b for a, b in itertools.pairwise(found[: middle + 1]))
    assert all(a > b for a, b in itertools.pairwise(found[middle:]))
    assert abs(found[0] - found[-1]) < 0.05


@pytest.mark.parametrize("values", [[5], [1, 1, 1], list(range(1, 300)), [1] * 200 + [13_000], [0, 0.5, 2.25]])
def test_each_value_has_a_class_whose_label_holds_it(values: list[float]) -> None:
    for bounds in (style.steps(values), style.log_steps(values)):
        labels = style.step_labels(bounds, max(values))
        assert len(labels) == len(bounds) == len(set(labels)) <= len(style.STEPS)
        assert bounds == sorted(set(bounds))
        assert {style.step_of(v, bounds) for v in values} <= set(range(len(bounds)))


def test_log_classes_set_the_leaders_apart() -> None:
    values = [1.0] * 100 + [50.0] * 100 + [9_000.0, 13_600.0]
    bounds = style.log_steps(values)
    assert [style.step_of(v, bounds) for v in values].count(len(bounds) - 1) == 2


def test_a_share_that_is_there_is_never_shown_as_0() -> None:
    assert [style.percent(v) for v in (0, 0.0001, 0.001, 1)] == ["0.0%", "<0.1%", "0.1%", "100.0%"]


def test_seven_day_means_do_not_reach_over_a_gap() -> None:
    days = {f"2023-01-{d:02}": 7.0 * d for d in range(1, 10)} | {f"2023-03-{d:02}": 1.0 for d in range(1, 8)}
    assert seven_day_means(days) == [
        ("2023-01-07", 28.0, 1),
        ("2023-01-08", 35.0, 1),
        ("2023-01-09", 42.0, 1),
        ("2023-03-07", 1.0, 2),
    ]


def test_labels_keep_their_order_and_a_distance() -> None:
    placed = spread({"a": 99, "b": 100, "c": 98, "d": 3}, 0, 100)
    order = sorted(placed, key=lambda name: placed[name])
    assert order == ["d", "c", "a", "b"]
    heights = [placed[name] for name in order]
    assert all(b - a >= 6.99 for a, b in itertools.pairwise(heights))
    assert max(heights) <= 100
