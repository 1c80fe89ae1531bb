"""The interface of a warehouse, and the warehouses that there are; a new one is a class here and a resource."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import ClassVar, Protocol

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.contract.tables import Part, Table
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeFile
from taxi_assets.resources.postgres import PostgresWarehouse


class Warehouse(Protocol):
    """Tables of trips that are replaced by month, and small tables that are replaced whole."""

    label: ClassVar[str]
    asset_name: ClassVar[str]

    def ensure_tables(self) -> Sequence[str]:
        """Create missing tables and add missing columns; return what was changed."""
        ...

    def table(self, dataset: Dataset) -> str:
        """Return the full name of the dataset's table."""
        ...

    def replace_month(self, dataset: Dataset, month: date, kept: LakeFile, manifest: Manifest) -> Totals:
        """Load the month's kept rows, audit them against the manifest, and publish them in one transaction.

        The month never goes backward: see `LakeFile`.
        """
        ...

    def replace_table(self, name: str, file: LakeFile, rows: int) -> str:
        """Replace all rows of a small table and return the table's full name."""
        ...

    def replace_part(self, table: Table, part: Part, file: LakeFile, rows: int) -> str:
        """Replace the part's rows of a table, which is made if it is missing, and return the table's full name."""
        ...

    def month_totals(self, dataset: Dataset, month: date) -> Totals:
        """Return the totals of a published month."""
        ...

    def month_rows(self, dataset: Dataset, first: date = date.min, last: date = date.max) -> dict[date, int]:
        """Return the rows of each month from `first` to `last`; empty if there is no table."""
        ...

    def drop_leftovers(self, dataset: Dataset, month: date) -> None:
        """Drop what killed loads of the month left."""
        ...

    def staging_tables(self) -> Mapping[str, datetime | None]:
        """Return the staging tables that were left, with their creation times where they are known."""
        ...

    def drop_staging_table(self, name: str) -> None:
        """Drop one of `staging_tables`."""
        ...


# By the name of the resource, which is also the pool of the steps that load.
WAREHOUSES: Mapping[str, type[Warehouse]] = {"bigquery": BigQueryWarehouse, "postgres": PostgresWarehouse}
