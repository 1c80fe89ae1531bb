"""The queries of docs/questions.md give the same rows in both warehouses."""

import re

import pytest

from taxi_assets.settings import PROJECT_ROOT
from taxi_assets_tests.conftest import World
from taxi_assets_tests.marts.conftest import WAREHOUSES, marts_of
from taxi_assets_tests.marts.test_marts import same

PAGE = (PROJECT_ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
QUERIES = dict(re.findall(r"^## (\d+\. .+?)$.*?```sql\n(.+?)```", PAGE, re.MULTILINE | re.DOTALL))


def test_there_are_fifteen_questions() -> None:
    assert [title.split(".")[0] for title in QUERIES] == [str(number) for number in range(1, 16)]


@pytest.mark.parametrize("question", QUERIES)
def test_the_answer_is_the_same_in_both_warehouses(filled: World, question: str) -> None:
    found, other = (
        marts.query(QUERIES[question].replace("taxi_marts.", marts.home.split(".")[-1] + "."))[1]
        for marts in (marts_of(filled, name) for name in WAREHOUSES)
    )
    assert found
    same(found, other)
