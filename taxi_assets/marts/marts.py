"""The marts of a warehouse: make months and views by dbt, and read what they hold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
from google.api_core.exceptions import NotFound
from psycopg import sql

from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.errors import ServiceError
from taxi_assets.marts.catalog import catalog
from taxi_assets.marts.runner import Node, run_dbt
from taxi_assets.marts.targets import SCHEMA, bigquery_target, postgres_target
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.resources.warehouse import Warehouse

# The measures that marts share with the manifest, by the dataset's column; fhv has no money.
MONEY: Mapping[str, Mapping[str, str]] = {
    "yellow": {"fare_amount": "sum_fare_usd", "tip_amount": "sum_tip_usd", "total_amount": "sum_total_usd"},
    "green": {"fare_amount": "sum_fare_usd", "tip_amount": "sum_tip_usd", "total_amount": "sum_total_usd"},
    "fhv": {},
    "fhvhv": {"base_passenger_fare": "sum_fare_usd", "tips": "sum_tip_usd", "driver_pay": "sum_driver_pay_usd"},
}
# So many months are made in one run of dbt, whose start takes longer than a small month.
MONTHS_AT_ONCE = 12


@dataclass(frozen=True)
class MonthSums:
    """The trips and cents of a month in a table of marts, the cents by the dataset's column."""

    trips: int
    cents: Mapping[str, int]


@dataclass(frozen=True)
class Marts:
    """The marts beside a warehouse's tables; `state` is a folder for dbt's parsed project."""

    warehouse: Any
    state: Path

    @property
    def label(self) -> str:
        """Name of the warehouse."""
        return str(self.warehouse.label)

    @property
    def home(self) -> str:
        """The schema, or the project and dataset, that holds the marts."""
        if isinstance(self.warehouse, BigQueryWarehouse):
            return f"{self.warehouse.project}.{self.warehouse.dataset}_marts"
        return SCHEMA

    def make_months(
        self, dataset: Dataset, months: Sequence[date], manifests: Mapping[date, Manifest] | None = None
    ) -> list[Node]:
        """Replace the marts of the months, and test them; return the results of the tests.

        Each table is replaced in one transaction. A month without rows in the dataset's table ends without marts.

        Raises:
            ServiceError: A model failed; tables after it keep the rows they had.
        """
        counts = {month: (m.raw_rows, m.rejected_rows) for month, m in (manifests or {}).items()}
        nodes = run_dbt(self._target(), self.state, "build", ["facts"], dataset.name, sorted(months), counts)
        self._check(nodes)
        return [node for node in nodes if node.kind == "test"]

    def make_views(self) -> None:
        """Make the views anew, and the tables that they read if there are none.

        Raises:
            ServiceError: A view failed.
        """
        self.warehouse.ensure_tables()
        names = [model.name for model in catalog().facts] if self.month_sums(DATASETS["yellow"]) is None else []
        # Without any such month, the tables stay empty.
        self._check(run_dbt(self._target(), self.state, "run", [*names, *(m.name for m in catalog().views)]))

    def month_rows(self, model: str, dataset: Dataset, months: Iterable[date]) -> dict[date, int]:
        """Return the rows of each of the months in a table of marts."""
        dates = ", ".join(f"DATE '{month.isoformat()}'" for month in months)
        found = self._query(
            f"SELECT source_month, COUNT(*) FROM {self.name(model)} WHERE dataset = '{dataset.name}' "
            f"AND source_month IN ({dates}) GROUP BY source_month"
        )
        return {month: int(rows) for month, rows in found}

    def month_sums(
        self, dataset: Dataset, first: date = date.min, last: date = date.max
    ) -> dict[date, MonthSums] | None:
        """Return the sums of each month in `fct_zone_hour`, or None if the marts were never made."""
        money = MONEY[dataset.name]
        sums = "".join(f", COALESCE(SUM({column}), 0)" for column in money.values())
        try:
            rows = self._query(
                f"SELECT source_month, SUM(trips){sums} FROM {self.name('fct_zone_hour')} "
                f"WHERE dataset = '{dataset.name}' AND source_month BETWEEN DATE '{first.isoformat()}' "
                f"AND DATE '{last.isoformat()}' GROUP BY source_month ORDER BY source_month"
            )
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, NotFound):
            return None
        return {
            month: MonthSums(int(trips), {name: int(usd * 100) for name, usd in zip(money, usds, strict=True)})
            for month, trips, *usds in rows
        }

    def drop_tables(self) -> None:
        """Drop all tables and views of the marts."""
        if isinstance(self.warehouse, BigQueryWarehouse):
            with self.warehouse.get_client() as client:
                client.delete_dataset(self.home, delete_contents=True, not_found_ok=True)
            return
        with self._postgres() as connection:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(SCHEMA)))

    def name(self, model: str) -> str:
        """Return the full name of a table or view, as a query has it."""
        return f"`{self.home}.{model}`" if isinstance(self.warehouse, BigQueryWarehouse) else f"{self.home}.{model}"

    def query(self, text: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run a query and return the names of its columns and its rows."""
        if isinstance(self.warehouse, BigQueryWarehouse):
            with self.warehouse.get_client() as client:
                rows = client.query(text).result()
                return [field.name for field in rows.schema], [tuple(row.values()) for row in rows]
        with self._postgres() as connection:
            cursor = connection.execute(text.encode())
            return [column.name for column in cursor.description or ()], cursor.fetchall()

    def _query(self, text: str) -> list[tuple[Any, ...]]:
        return self.query(text)[1]

    def _postgres(self) -> Any:
        warehouse: PostgresWarehouse = self.warehouse
        return warehouse.connect()

    def _target(self) -> Any:
        if isinstance(self.warehouse, BigQueryWarehouse):
            return bigquery_target(self.warehouse)
        return postgres_target(self.warehouse)

    def _check(self, nodes: Sequence[Node]) -> None:
        failed = [node for node in nodes if node.status in ("error", "runtime error")]
        if failed:
            raise ServiceError(
                f"dbt could not make {failed[0].name} in {self.label}: {failed[0].message} Mend that and run it again."
            )


def make_all(
    marts: Marts,
    datasets: Sequence[Dataset],
    manifests: Mapping[str, Mapping[date, Manifest]],
    first: date = date.min,
    last: date = date.max,
) -> Iterable[tuple[Dataset, list[date]]]:
    """Make the marts of all months that the warehouse or the marts have; yield the months as they are done."""
    warehouse: Warehouse = marts.warehouse
    for dataset in datasets:
        held = marts.month_sums(dataset, first, last) or {}
        months = sorted({*warehouse.month_rows(dataset, first, last), *held})
        for start in range(0, len(months), MONTHS_AT_ONCE):
            chunk = months[start : start + MONTHS_AT_ONCE]
            known = manifests.get(dataset.name, {})
            marts.make_months(dataset, chunk, {month: known[month] for month in chunk if month in known})
            yield dataset, chunk
