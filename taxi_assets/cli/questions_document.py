"""The answers of docs/questions.md, from the marts of the demo's months.

After `make demo`, and while `taxi up` runs, `python -m taxi_assets.cli.questions_document` writes them anew: each query
of the page is run in PostgreSQL, and its first rows are put below it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from taxi_assets.settings import PROJECT_ROOT, Settings

DOCS = PROJECT_ROOT / "docs" / "questions.md"
ROWS_SHOWN = 5
NO_ROWS = "On the demo's months: no rows, as they are of yellow and green."
Query = Callable[[str], tuple[list[str], list[tuple[Any, ...]]]]
_SECTION = re.compile(
    r"^## (?P<title>\d+\. [^\n]+)\n\nOf: (?P<datasets>[^.]+)\. .+?"
    r"```sql\n(?P<sql>.+?)\n```\n\n(?P<result>.*?)(?=^Caveat: )",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Question:
    """A question of the page with its query, what the page says of its result, and the datasets that it is of."""

    title: str
    datasets: tuple[str, ...]
    sql: str
    result: str


def questions(page: str) -> Iterator[Question]:
    """Return the questions of a page in their order."""
    for found in _SECTION.finditer(page):
        yield Question(found["title"], tuple(found["datasets"].split(", ")), found["sql"], found["result"])


def with_results(page: str, query: Query) -> str:
    """Return the page with the first rows that each query gives now."""

    def replaced(found: re.Match[str]) -> str:
        before = found[0].removesuffix(found["result"]) if found["result"] else found[0]
        return before + as_markdown(*query(found["sql"]))

    return _SECTION.sub(replaced, page)


def as_markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return the first rows as a table, after a line with their number."""
    if not rows:
        return f"{NO_ROWS}\n\n"
    shown = rows[:ROWS_SHOWN]
    count = f"the first {len(shown)} of {len(rows)} rows" if len(rows) > len(shown) else f"{len(rows)} rows"
    lines = [columns, ["---"] * len(columns), *([_text(value) for value in row] for row in shown)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"On the demo's months, {count}:\n\n{table}\n\n"


def _text(value: Any) -> str:
    """Return a value alike from either warehouse, whose sums of floats differ in the last digits."""
    if isinstance(value, float):
        return f"{value:.5g}"
    return "NULL" if value is None else f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def main() -> None:
    """Write the page."""
    from taxi_assets.defs.assets.marts import marts_state
    from taxi_assets.defs.build import lake_and_warehouses
    from taxi_assets.marts.marts import Marts

    with lake_and_warehouses(Settings.from_environment()) as resources:
        marts = Marts(resources["postgres"], marts_state(resources["lake"]))
        DOCS.write_text(with_results(DOCS.read_text(encoding="utf-8"), marts.query), encoding="utf-8")


if __name__ == "__main__":
    main()
