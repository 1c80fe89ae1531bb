"""Where the marts are in each warehouse: as dbt finds it, by the variables of profiles.yml, and as queries name it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from google.api_core.exceptions import NotFound
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from taxi_assets.marts.runner import Target
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.resources.postgres_session import checked_url

SCHEMA = "taxi_marts"
# What dbt's profile has no name for, libpq takes from its own variables.
_LIBPQ = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "options": "PGOPTIONS",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


class Home(Protocol):
    """The schema or dataset of marts of one warehouse; `resource` is the name of its resource."""

    resource: ClassVar[str]

    @property
    def name(self) -> str:
        """The schema, or the project and dataset."""
        ...

    @property
    def target(self) -> Target:
        """The warehouse as dbt connects to it."""
        ...

    def table(self, model: str) -> str:
        """Return the full name of a table or view, as a query has it."""
        ...

    def query(self, text: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run a query and return the names of its columns and its rows."""
        ...

    def has(self, model: str) -> bool:
        """Return whether the table or view exists."""
        ...

    def drop(self) -> None:
        """Drop all tables and views of the marts."""
        ...


@dataclass(frozen=True)
class PostgresHome:
    """The schema `taxi_marts`."""

    resource: ClassVar[str] = "postgres"

    warehouse: PostgresWarehouse
    name: str = SCHEMA

    @property
    def target(self) -> Target:
        """The warehouse as dbt connects to it."""
        where = conninfo_to_dict(checked_url(self.warehouse.url))
        variables = {
            "MARTS_POSTGRES_HOST": where.get("host", "localhost"),
            "MARTS_POSTGRES_PORT": where.get("port", "5432"),
            "MARTS_POSTGRES_USER": where.get("user", "postgres"),
            "MARTS_POSTGRES_DATABASE": where.get("dbname", "postgres"),
            "DBT_ENV_SECRET_MARTS_PASSWORD": where.get("password", ""),
        } | {variable: where[name] for name, variable in _LIBPQ.items() if name in where}
        return Target(self.resource, {name: str(value) for name, value in variables.items()})

    def table(self, model: str) -> str:
        """Return the full name of a table or view."""
        return f"{self.name}.{model}"

    def query(self, text: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run a query and return the names of its columns and its rows."""
        with self.warehouse.connect() as connection:
            cursor = connection.execute(text.encode())
            return [column.name for column in cursor.description or ()], cursor.fetchall()

    def has(self, model: str) -> bool:
        """Return whether the table or view exists."""
        return self.query(f"SELECT to_regclass('{self.table(model)}') IS NOT NULL")[1] == [(True,)]

    def drop(self) -> None:
        """Drop the schema."""
        with self.warehouse.connect() as connection:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self.name)))


@dataclass(frozen=True)
class BigQueryHome:
    """The dataset `<TAXI_BIGQUERY_DATASET>_marts`."""

    resource: ClassVar[str] = "bigquery"

    warehouse: BigQueryWarehouse

    @property
    def name(self) -> str:
        """The project and dataset."""
        return f"{self.warehouse.project}.{self.warehouse.dataset}_marts"

    @property
    def target(self) -> Target:
        """The warehouse as dbt connects to it."""
        warehouse = self.warehouse
        variables = {"MARTS_BIGQUERY_PROJECT": warehouse.project or "", "MARTS_BIGQUERY_DATASET": warehouse.dataset}
        if warehouse.location:
            variables["MARTS_BIGQUERY_LOCATION"] = warehouse.location
        if warehouse.emulator_host:
            host = warehouse.emulator_host
            variables["MARTS_BIGQUERY_ENDPOINT"] = host if "://" in host else f"http://{host}"
            variables["MARTS_BIGQUERY_METHOD"] = "oauth-secrets"
        return Target(self.resource, variables)

    def table(self, model: str) -> str:
        """Return the full name of a table or view, in backquotes."""
        return f"`{self.name}.{model}`"

    def query(self, text: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run a query and return the names of its columns and its rows."""
        with self.warehouse.get_client() as client:
            rows = client.query(text).result()
            return [field.name for field in rows.schema], [tuple(row.values()) for row in rows]

    def has(self, model: str) -> bool:
        """Return whether the table or view exists."""
        with self.warehouse.get_client() as client:
            try:
                client.get_table(f"{self.name}.{model}")
            except NotFound:
                return False
        return True

    def drop(self) -> None:
        """Drop the dataset with its tables."""
        with self.warehouse.get_client() as client:
            client.delete_dataset(self.name, delete_contents=True, not_found_ok=True)


HOMES: Mapping[type, type[PostgresHome] | type[BigQueryHome]] = {
    PostgresWarehouse: PostgresHome,
    BigQueryWarehouse: BigQueryHome,
}
