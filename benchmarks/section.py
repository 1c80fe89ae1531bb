"""A part of the results: a title, a table and what to know when reading it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from taxi_assets.cli.tables import table


@dataclass(frozen=True)
class Section:
    """`rows` begin with the header; `notes` are sentences below the table."""

    title: str
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default=())

    def as_text(self) -> str:
        """For a terminal."""
        return "\n".join([self.title, "", table([tuple(row) for row in self.rows]), "", *self.notes, ""])

    def as_markdown(self) -> str:
        """For a file."""
        lines = ["| " + " | ".join(row) + " |" for row in self.rows]
        lines.insert(1, "|" + " --- |" * len(self.rows[0]))
        return "\n".join([f"## {self.title}", "", *lines, "", *(f"{note}\n" for note in self.notes)])
