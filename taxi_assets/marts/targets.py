"""The warehouses as dbt finds them: the variables of profiles.yml, from the resources of the platform."""

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


def postgres_target(warehouse: PostgresWarehouse) -> Target:
    """Return the PostgreSQL target."""
    where = conninfo_to_dict(checked_url(warehouse.url))
    variables = {
        "MARTS_POSTGRES_HOST": where.get("host", "localhost"),
        "MARTS_POSTGRES_PORT": where.get("port", "5432"),
        "MARTS_POSTGRES_USER": where.get("user", "postgres"),
        "MARTS_POSTGRES_DATABASE": where.get("dbname", "postgres"),
        "DBT_ENV_SECRET_MARTS_PASSWORD": where.get("password", ""),
    } | {variable: where[name] for name, variable in _LIBPQ.items() if name in where}
    return Target("postgres", {name: str(value) for name, value in variables.items()})


def bigquery_target(warehouse: BigQueryWarehouse) -> Target:
    """Return the BigQuery target."""
    variables = {"MARTS_BIGQUERY_PROJECT": warehouse.project or "", "MARTS_BIGQUERY_DATASET": warehouse.dataset}
    if warehouse.location:
        variables["MARTS_BIGQUERY_LOCATION"] = warehouse.location
    if warehouse.emulator_host:
        host = warehouse.emulator_host
        variables["MARTS_BIGQUERY_ENDPOINT"] = host if "://" in host else f"http://{host}"
        variables["MARTS_BIGQUERY_METHOD"] = "oauth-secrets"
    return Target("bigquery", variables)
