"""Checks of PostgreSQL: the warehouse, and Dagster's own database with its pools."""

import os
from typing import Any

import psycopg

from taxi_assets.doctor.check import Check, Result, ok
from taxi_assets.errors import TaxiError
from taxi_assets.resources import postgres_checks
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.runtime.pools import missing_pools

OLDEST = 140000


def checks(resources: dict[str, Any]) -> list[Check]:
    """Return the checks of both databases."""
    return [
        Check("PostgreSQL", lambda: warehouse(resources["postgres"])),
        Check("Dagster's database", dagster_database),
    ]


def warehouse(postgres: PostgresWarehouse) -> list[Result]:
    """Judge the server, then everything in it that hinders a load."""
    with postgres.connect() as connection:
        # Each check sees the database by itself; an error of one ends no transaction of another.
        connection.autocommit = True
        results = [_version(connection)]
        for name, find in postgres_checks.CHECKS.items():
            try:
                found = find(connection)
            except (TaxiError, psycopg.Error) as error:
                first = (str(error).strip().splitlines() or ["no reason given"])[0]
                results.append(Result("unchecked", f"{name}: could not be checked ({first})."))
                continue
            results += [Result("failed" if finding.blocks else "warning", finding.text) for finding in found]
            results += [] if found else ok(f"{name}: nothing in the way.")
    return results


def _version(connection: psycopg.Connection) -> Result:
    number = connection.info.server_version
    if number < OLDEST:
        return Result("failed", f"PostgreSQL {number // 10000} is too old; upgrade to {OLDEST // 10000} or later.")
    return Result("ok", f"PostgreSQL {number // 10000}.{number % 10000}.")


def dagster_database() -> list[Result]:
    """Connect to Dagster's database and look for pools without a limit."""
    url = os.environ.get("DAGSTER_POSTGRES_URL")
    if not url:
        return [Result("failed", "DAGSTER_POSTGRES_URL is not set; set it to Dagster's own database.")]
    try:
        missing = missing_pools(url)
    except psycopg.Error as error:
        first = (str(error).strip().splitlines() or ["no reason given"])[0]
        return [Result("failed", f"Dagster's database does not answer ({first}); check DAGSTER_POSTGRES_URL.")]
    if missing:
        return [Result("warning", f"No limit yet for {', '.join(sorted(missing))}; run `taxi up` or `taxi migrate`.")]
    return ok("It answers, and all pools have their limits.")
