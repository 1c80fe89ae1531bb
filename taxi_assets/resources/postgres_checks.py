"""What in a PostgreSQL database will hinder a load, found before one is started; nothing is changed.

Each function takes a connection of `PostgresWarehouse.connect` and returns what it found, empty if all is well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psycopg

from taxi_assets.contract.tables import TABLES
from taxi_assets.errors import ServiceError
from taxi_assets.resources.postgres_tables import SCHEMA, check_tables

LONG_SECONDS = 60
# The tables of the schema, and their partitions.
_OURS = """
    WITH tables AS (SELECT oid, relname FROM pg_class WHERE relnamespace = to_regnamespace(%(schema)s)
            AND relname = ANY(%(tables)s)),
        partitions AS (SELECT inhrelid AS oid, (SELECT reltype FROM pg_class WHERE oid = inhrelid)
            FROM pg_inherits WHERE inhparent IN (SELECT oid FROM tables))
"""
_NAMES = {"schema": SCHEMA, "tables": list(TABLES)}


@dataclass(frozen=True)
class Finding:
    """One sentence of what was found and what to do; `blocks` if a load fails unless something is done."""

    text: str
    blocks: bool


def tables(connection: psycopg.Connection) -> list[Finding]:
    """Find an encoding that cannot hold every text, and tables of others that have the names of ours."""
    try:
        check_tables(connection)
    except ServiceError as error:
        return [Finding(str(error), True)]
    return []


def read_only(connection: psycopg.Connection) -> list[Finding]:
    """Find out whether the server or the database takes no writes."""
    query = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"
    [(replica, refuses)] = connection.execute(query).fetchall()
    if replica:
        return [Finding("The server is a replica and read-only; set TAXI_POSTGRES_URL to the primary.", True)]
    if refuses:
        text = "Transactions are read-only; set default_transaction_read_only to off for the database and the role."
        return [Finding(text, True)]
    return []


def time_limits(connection: psycopg.Connection) -> list[Finding]:
    """Find the time limits that the server, the database or the role sets for sessions."""
    query = """
        SELECT name, reset_val, unit FROM pg_settings
        WHERE name IN ('statement_timeout', 'transaction_timeout', 'lock_timeout', 'idle_session_timeout',
            'idle_in_transaction_session_timeout') AND reset_val <> '0' ORDER BY name
    """
    return [
        Finding(f"{name} is {value} {unit} for sessions of this role; loads set their own, queries keep it.", False)
        for name, value, unit in connection.execute(query).fetchall()
    ]


def rights(connection: psycopg.Connection) -> list[Finding]:
    """Find the rights that the role lacks on the database, the schema and the tables."""
    query = """
        SELECT current_user, current_database(), pg_get_userbyid(nspowner),
            CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
                ELSE has_schema_privilege(n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'USAGE') END
        FROM (SELECT to_regnamespace(%s)) AS wanted (oid) LEFT JOIN pg_namespace n ON n.oid = wanted.oid
    """
    [(role, database, owner, may_create)] = connection.execute(query, [SCHEMA]).fetchall()
    found = []
    if not may_create:
        place = f"the schema {SCHEMA} of {owner}" if owner else f"the database {database}"
        grant = f"GRANT USAGE, CREATE ON SCHEMA {SCHEMA}" if owner else f'GRANT CREATE ON DATABASE "{database}"'
        found.append(Finding(f'The role {role} may not create in {place}; run {grant} TO "{role}".', True))
    query = (
        _OURS
        + """
        SELECT c.oid::regclass::text, pg_get_userbyid(relowner) FROM pg_class c
        WHERE (c.oid IN (SELECT oid FROM tables) OR c.oid IN (SELECT oid FROM partitions))
            AND NOT pg_has_role(relowner, 'USAGE') ORDER BY 1
    """
    )
    for table, other in connection.execute(query, _NAMES).fetchall():
        text = f'{table} belongs to {other}, and {role} cannot replace it; run ALTER TABLE {table} OWNER TO "{role}".'
        found.append(Finding(text, True))
    return found


def dependents(connection: psycopg.Connection) -> list[Finding]:
    """Find views, functions, foreign keys and triggers of others that need a partition to stay the table it is."""
    query = (
        _OURS
        + """
        , links AS (
            SELECT 'pg_class'::regclass AS class, ev_class AS object, refobjid AS used
            FROM pg_depend JOIN pg_rewrite r ON r.oid = objid
            WHERE classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass AND ev_class <> refobjid
            UNION SELECT classid, objid, refobjid FROM pg_depend
            WHERE classid = 'pg_proc'::regclass AND refclassid = 'pg_class'::regclass
            UNION SELECT classid, objid, p.oid FROM pg_depend JOIN partitions p ON p.reltype = refobjid
            WHERE classid = 'pg_proc'::regclass AND refclassid = 'pg_type'::regclass
            UNION SELECT 'pg_constraint'::regclass, oid, confrelid FROM pg_constraint
            WHERE contype = 'f' AND conparentid = 0
            UNION SELECT 'pg_trigger'::regclass, oid, tgrelid FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0
        )
        SELECT (pg_identify_object(class, object, 0)).type, (pg_identify_object(class, object, 0)).identity,
            pg_get_userbyid(coalesce(
                (SELECT relowner FROM pg_class WHERE class = 'pg_class'::regclass AND oid = object),
                (SELECT proowner FROM pg_proc WHERE class = 'pg_proc'::regclass AND oid = object),
                (SELECT relowner FROM pg_class JOIN pg_constraint k ON pg_class.oid = conrelid
                    WHERE class = 'pg_constraint'::regclass AND k.oid = object),
                (SELECT relowner FROM pg_class WHERE oid = used))),
            used::regclass::text
        FROM links WHERE used IN (SELECT oid FROM partitions) ORDER BY 4, 2
    """
    )
    return [
        Finding(f"The {kind} {name} of {owner} hangs on {used}; let it use the whole table instead.", False)
        for kind, name, owner, used in connection.execute(query, _NAMES).fetchall()
    ]


def default_partitions(connection: psycopg.Connection) -> list[Finding]:
    """Find DEFAULT partitions of the tables; a month whose rows are in one cannot become a partition."""
    query = (
        _OURS
        + """
        SELECT partdefid::regclass::text, pg_get_userbyid(relowner), partrelid::regclass::text
        FROM pg_partitioned_table JOIN pg_class c ON c.oid = partdefid
        WHERE partrelid IN (SELECT oid FROM tables) ORDER BY 1
    """
    )
    return [
        Finding(
            f"{name} of {owner} is the DEFAULT partition of {table}; a month with rows in it cannot be loaded: move "
            f"them, or run ALTER TABLE {table} DETACH PARTITION {name}.",
            False,
        )
        for name, owner, table in connection.execute(query, _NAMES).fetchall()
    ]


def long_transactions(connection: psycopg.Connection, seconds: float = LONG_SECONDS) -> list[Finding]:
    """Find the sessions that have held one of the tables for longer than that; a load waits for them.

    The ages of other roles' transactions are visible to members of pg_read_all_stats only.
    """
    query = (
        _OURS
        + """
        SELECT pid, usename, application_name, extract(epoch FROM clock_timestamp() - xact_start)::integer
        FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND pid IN (
            SELECT pid FROM pg_locks WHERE granted AND locktype = 'relation'
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (relation IN (SELECT oid FROM tables) OR relation IN (SELECT oid FROM partitions)))
            AND (xact_start IS NULL OR clock_timestamp() - xact_start > make_interval(secs => %(seconds)s))
        ORDER BY pid
    """
    )
    found = []
    for pid, user, application, age in connection.execute(query, _NAMES | {"seconds": seconds}).fetchall():
        who = f"Process {pid} of {user}{f' ({application})' if application else ''} has a transaction open"
        since = f"since {age} s" if age is not None else "since a time that only members of pg_read_all_stats see"
        text = f"{who} on a table of trips {since}; a load waits for it: end it, or run pg_terminate_backend({pid})."
        found.append(Finding(text, False))
    return found


def encryption(connection: psycopg.Connection) -> list[Finding]:
    """Find out whether the connection leaves this machine without TLS."""
    query = "SELECT ssl OR inet_server_addr() IS NULL OR inet_server_addr() << inet '127.0.0.0/8' "
    query += "OR inet_server_addr() = inet '::1' FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    if connection.execute(query).fetchall() == [(False,)]:
        text = (
            "The connection is not encrypted; add ?sslmode=verify-full to TAXI_POSTGRES_URL, or require to begin with."
        )
        return [Finding(text, False)]
    return []


# By what each one is about, in the order to print them.
CHECKS: Mapping[str, Callable[[psycopg.Connection], list[Finding]]] = {
    "encoding and tables": tables,
    "read-only": read_only,
    "time limits": time_limits,
    "rights": rights,
    "objects of others": dependents,
    "default partitions": default_partitions,
    "long transactions": long_transactions,
    "encryption": encryption,
}
