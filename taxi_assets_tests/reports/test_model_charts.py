"""The chart of the duration model's error by its age."""

from dataclasses import replace
from datetime import date
from typing import Any

from taxi_assets.reports.model_charts import drift
from taxi_assets.reports.pages import Facts, month_page, overview_page
from taxi_assets.reports.picture import Context
from taxi_assets.reports.questions import Scope
from taxi_assets.reports.render import MAX_PNG_BYTES
from taxi_assets_tests.reports.answers import answers

MAY, JUNE = date(2023, 5, 1), date(2023, 6, 1)


def row(month: date, age: int, mae: float, trips: int, floor: float | None = None) -> dict[str, Any]:
    scored = {"dataset": "green", "scored_month": f"{month:%Y-%m}", "age_months": age}
    return scored | {"mae": mae, "trips": trips, "floor": floor}


ROWS = [row(MAY, 0, 4.0, 100, 5.0), row(JUNE, 0, 3.0, 300, 4.0), row(JUNE, 1, 3.5, 300), row(JUNE, 2, 3.75, 300)]


def test_errors_are_means_over_the_trips_of_all_months_scored() -> None:
    picture = drift(ROWS, Context(Scope("green", JUNE), "2023-06", None))
    assert picture is not None
    assert list(picture.table.rows) == [
        ["Green taxi", "0", "2", "400", "3.25", "4.25"],
        ["Green taxi", "1", "1", "300", "3.50", ""],
        ["Green taxi", "2", "1", "300", "3.75", ""],
    ]
    assert "3.25 minutes at the age of 0 and 3.75 at 2 (Green taxi)" in picture.alt


def test_a_page_has_the_chart_if_a_model_was_scored_and_is_as_before_without() -> None:
    scope = Scope("green", JUNE)
    without = month_page(scope, answers(scope, 300), Facts())
    page = month_page(scope, answers(scope, 300), replace(Facts(), models=ROWS))
    assert [section.name for section in page.content.sections][-1] == "drift"
    assert page.content.sections[:-1] == without.content.sections
    assert 1000 < len(page.pngs["drift"]) <= MAX_PNG_BYTES
    assert "drift" in overview_page(answers(Scope(), 0), Facts(models=ROWS)).pngs
