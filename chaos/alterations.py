"""Rows that change on their way from the lake into a warehouse's staging table: what only the audit notices."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chaos.moments import wrap
from taxi_assets.contract.datasets import DATASETS

HOW = ("lost", "doubled", "changed")
WAREHOUSES = ("bigquery", "postgres")


@dataclass(frozen=True)
class Alteration:
    """One row lost, doubled or changed in the first load of the run; a retry meets no fault."""

    dataset: str
    warehouse: str
    how: str

    def __str__(self) -> str:
        """Return it in a few words."""
        return f"a row {self.how} on its way into {self.warehouse}"

    @property
    def money(self) -> str | None:
        """Return the column that a change adds a cent to; without one, the row is lost."""
        money = DATASETS[self.dataset].schema.money
        return money[0] if self.how == "changed" and money else None

    def install(self) -> None:
        """Change what is loaded, as soon as it is."""
        if self.warehouse == "postgres":
            wrap("taxi_assets.resources.postgres:copy", self._before_copy)
        else:
            wrap("google.cloud.bigquery.job:LoadJob.result", self._after_load)

    def _before_copy(self, original: Callable[..., Any]) -> Callable[..., Any]:
        done: list[bool] = []

        def copy(cursor: Any, table: str, path: Path, **named: Any) -> None:
            if done:
                original(cursor, table, path, **named)
                return
            done.append(True)
            with tempfile.TemporaryDirectory() as folder:
                altered = Path(folder) / path.name
                pq.write_table(self.of(pq.read_table(path)), altered)
                original(cursor, table, altered, **named)

        return copy

    def of(self, rows: pa.Table) -> pa.Table:
        """Return the rows with the first one altered."""
        first, rest = rows.slice(0, 1), rows.slice(1)
        if self.how == "doubled":
            return pa.concat_tables([first, rows])
        if self.money is None:
            return rest
        at = rows.schema.get_field_index(self.money)
        cents = pc.add(pc.coalesce(first[self.money], 0.0), 0.01)
        return pa.concat_tables([first.set_column(at, rows.schema.field(at), cents), rest])

    def _after_load(self, original: Callable[..., Any]) -> Callable[..., Any]:
        done: list[bool] = []

        def result(job: Any, *arguments: Any, **named: Any) -> Any:
            loaded = original(job, *arguments, **named)
            if not done:
                done.append(True)
                table = job.destination
                name = f"`{table.project}.{table.dataset_id}.{table.table_id}`"
                job._client.query_and_wait(self.statement(name))
            return loaded

        return result

    def statement(self, table: str) -> str:
        """Return SQL that alters the last row, or those beside it."""
        last = f"pickup_datetime = (SELECT MAX(pickup_datetime) FROM {table})"
        if self.how == "doubled":
            return f"INSERT INTO {table} SELECT * FROM {table} WHERE {last}"
        if self.money is None:
            return f"DELETE FROM {table} WHERE {last}"
        return f"UPDATE {table} SET {self.money} = IFNULL({self.money}, 0) + 0.01 WHERE {last}"
