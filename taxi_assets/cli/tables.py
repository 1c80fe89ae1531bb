"""Tables for terminals."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return rows with their columns lined up; `numbers` are the columns that end, not begin, at the same place."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
