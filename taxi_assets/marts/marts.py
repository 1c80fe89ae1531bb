"""The marts of a warehouse: make months and views by dbt, and read what they hold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.errors import ServiceError
from taxi_assets.marts.catalog import catalog
from taxi_assets.marts.homes import HOMES, Home
from taxi_assets.marts.runner import Node, run_dbt
from taxi_assets.resources.warehouse import Warehouse

_METERED = {
    "fare_amount": "sum_fare_usd",
    "extra": "sum_extra_usd",
    "mta_tax": "sum_mta_tax_usd",
    "improvement_surcharge": "sum_improvement_surcharge_usd",
    "congestion_surcharge": "sum_congestion_surcharge_usd",
    "cbd_congestion_fee": "sum_cbd_congestion_fee_usd",
    "tolls_amount": "sum_tolls_usd",
    "tip_amount": "sum_tip_usd",
    "total_amount": "sum_total_usd",
}
# The measures of `fct_zone_hour` that are sums of the dataset's columns; fhv has no money.
MONEY: Mapping[str, Mapping[str, str]] = {
    "yellow": _METERED | {"airport_fee": "sum_airport_fee_usd"},
    "green": _METERED,
    "fhv": {},
    "fhvhv": {
        "base_passenger_fare": "sum_fare_usd",
        "congestion_surcharge": "sum_congestion_surcharge_usd",
        "airport_fee": "sum_airport_fee_usd",
        "cbd_congestion_fee": "sum_cbd_congestion_fee_usd",
        "bcf": "sum_black_car_fund_usd",
        "sales_tax": "sum_sales_tax_usd",
        "tolls": "sum_tolls_usd",
        "tips": "sum_tip_usd",
        "driver_pay": "sum_driver_pay_usd",
    },
}
# So many months are made in one run of dbt, whose start takes longer than a small month.
MONTHS_AT_ONCE = 12


@dataclass(frozen=True)
class Marts:
    """The marts beside a warehouse's tables; `state` is a folder for dbt's parsed project."""

    warehouse: Warehouse
    state: Path

    @property
    def label(self) -> str:
        """Name of the warehouse."""
        return str(self.warehouse.label)

    @property
    def resource(self) -> str:
        """Name of the warehouse's resource."""
        return self._home.resource

    @property
    def home(self) -> str:
        """The schema, or the project and dataset, that holds the marts."""
        return self._home.name

    def make_months(
        self, dataset: Dataset, months: Sequence[date], manifests: Mapping[date, Manifest] | None = None
    ) -> list[Node]:
        """Replace the marts of the months, and test them; return the results of the tests.

        Each table is replaced in one transaction. A month without rows in the dataset's table ends without marts.

        Raises:
            ServiceError: A model failed; tables after it keep the rows they had.
        """
        self.warehouse.ensure_tables()
        counts = {month: (m.raw_rows, m.rejected_rows) for month, m in (manifests or {}).items()}
        nodes = run_dbt(self._home.target, self.state, "build", ["facts"], dataset.name, sorted(months), counts)
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
        self._check(run_dbt(self._home.target, self.state, "run", [*names, *(m.name for m in catalog().views)]))

    def month_rows(self, model: str, dataset: Dataset, months: Iterable[date]) -> dict[date, int]:
        """Return the rows of each of the months in a table of marts."""
        dates = ", ".join(f"DATE '{month.isoformat()}'" for month in months)
        _, found = self._home.query(
            f"SELECT source_month, COUNT(*) FROM {self.name(model)} WHERE dataset = '{dataset.name}' "
            f"AND source_month IN ({dates}) GROUP BY source_month"
        )
        return {month: int(rows) for month, rows in found}

    def has(self, model: str) -> bool:
        """Return whether the table or view is there."""
        return self._home.has(model)

    def month_sums(self, dataset: Dataset, first: date = date.min, last: date = date.max) -> dict[date, Totals] | None:
        """Return the trips and cents of each month in `fct_zone_hour`, or None if the marts were never made."""
        if not self._home.has("fct_zone_hour"):
            return None
        money = MONEY[dataset.name]
        sums = "".join(f", COALESCE(SUM({column}), 0)" for column in money.values())
        _, rows = self._home.query(
            f"SELECT source_month, SUM(trips){sums} FROM {self.name('fct_zone_hour')} "
            f"WHERE dataset = '{dataset.name}' AND source_month BETWEEN DATE '{first.isoformat()}' "
            f"AND DATE '{last.isoformat()}' GROUP BY source_month ORDER BY source_month"
        )
        return {
            month: Totals(int(trips), {name: int(usd * 100) for name, usd in zip(money, usds, strict=True)})
            for month, trips, *usds in rows
        }

    def months_behind(self, dataset: Dataset, rows: Mapping[date, int]) -> list[date]:
        """Return the months whose marts have not the rows of the table; none if the dataset has no marts."""
        held = {month: sums.rows for month, sums in (self.month_sums(dataset) or {}).items()}
        return sorted(month for month in held.keys() | rows.keys() if held and held.get(month) != rows.get(month))

    def months_at_once(self, dataset: Dataset, first: date = date.min, last: date = date.max) -> list[list[date]]:
        """Return the months that the table of trips or the marts have, in lists for one run of dbt each."""
        held = self.month_sums(dataset, first, last) or {}
        months = sorted({*self.warehouse.month_rows(dataset, first, last), *held})
        return [months[start : start + MONTHS_AT_ONCE] for start in range(0, len(months), MONTHS_AT_ONCE)]

    def drop_tables(self) -> None:
        """Drop all tables and views of the marts."""
        self._home.drop()

    def name(self, model: str) -> str:
        """Return the full name of a table or view, as a query has it."""
        return self._home.table(model)

    def query(self, text: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run a query and return the names of its columns and its rows."""
        return self._home.query(text)

    @property
    def _home(self) -> Home:
        return HOMES[type(self.warehouse)](self.warehouse)  # type: ignore[arg-type]

    def _check(self, nodes: Sequence[Node]) -> None:
        failed = [node for node in nodes if node.status in ("error", "runtime error")]
        if failed:
            raise ServiceError(
                f"dbt could not make {failed[0].name} in {self.label}: {failed[0].message} Mend that and run it again."
            )
