"""Sessions of PostgreSQL: connecting, errors in one sentence, and locks that nobody waits behind for long."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict

from taxi_assets.errors import DOCTOR, ServiceError, ServiceUnavailableError

APPLICATION = "taxi_assets"
# Readers queue behind a lock that waits, so each attempt is short; publishing takes at most two locks.
LOCK_TIMEOUT_MS = 700
LOCK_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = (0.5, 1.5)
# What somebody else's object, or a value that it does not admit, makes of a load.
_OF_OTHERS = (
    errors.DependentObjectsStillExist,
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.UndefinedObject,
    errors.DuplicateTable,
    errors.WrongObjectType,
    errors.DatatypeMismatch,
    errors.InvalidObjectDefinition,
    errors.InvalidTableDefinition,
    errors.ObjectNotInPrerequisiteState,
    errors.FeatureNotSupported,
    errors.GeneratedAlways,
    errors.IntegrityError,
    errors.RaiseException,
)


@contextmanager
def connection_to(url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection; leaving the block commits, an exception rolls back.

    Time limits of the database or the role do not apply to it: a load takes as long as it takes.

    Raises:
        ServiceError: The URL is wrong, the database does not exist, access is denied, or an object of others is in
            the way.
        ServiceUnavailableError: The server does not respond, is read-only, or ended the session.
    """
    name = database_name(url)
    with sentences(name):
        try:
            connection = psycopg.connect(url, connect_timeout=10, application_name=APPLICATION, client_encoding="utf8")
        except psycopg.OperationalError as error:
            raise _unreachable(error, name) from error
        with connection:
            _lift_time_limits(connection)
            yield connection


@contextmanager
def sentences(name: str) -> Iterator[None]:
    """Convert what PostgreSQL reports into one sentence; `name` is the database in words."""
    try:
        yield
    except errors.LockNotAvailable as error:
        raise ServiceUnavailableError(f"A table in {name} is in use: {first_line(error)}; run it again.") from error
    except errors.DiskFull as error:
        raise ServiceError(f"The disk of {name} is full ({first_line(error)}); free some space there.") from error
    except errors.ReadOnlySqlTransaction as error:
        raise ServiceUnavailableError(
            f"{name[0].upper()}{name[1:]} is read-only, as a replica or a server after a failover is; let "
            "TAXI_POSTGRES_URL name the primary, or set default_transaction_read_only to off, and run it again. "
            f"{DOCTOR}"
        ) from error
    except (errors.QueryCanceled, errors.AdminShutdown, errors.IdleInTransactionSessionTimeout) as error:
        raise ServiceUnavailableError(
            f"{name[0].upper()}{name[1:]} ended the session or its statement ({first_line(error)}); run it again."
        ) from error
    except (errors.InsufficientPrivilege, errors.InvalidCatalogName) as error:
        raise ServiceError(f"PostgreSQL refuses {name}: {first_line(error)}. {DOCTOR}") from error
    except _OF_OTHERS as error:
        raise ServiceError(_of_others(error)) from error
    except psycopg.OperationalError as error:
        raise _unreachable(error, name) from error


def _unreachable(error: psycopg.OperationalError, name: str) -> ServiceError | ServiceUnavailableError:
    text = first_line(error)
    if "does not exist" in text or "authentication failed" in text:
        return ServiceError(f"PostgreSQL refuses {name}: {text}; check TAXI_POSTGRES_URL. {DOCTOR}")
    return ServiceUnavailableError(
        f"PostgreSQL does not answer at {name}: {text}; for the local one, is `taxi up` running? {DOCTOR}"
    )


def _of_others(error: psycopg.Error) -> str:
    where = ".".join(filter(None, (error.diag.schema_name, error.diag.table_name, error.diag.constraint_name)))
    detail = f" ({error.diag.message_detail.splitlines()[0].rstrip('.')})" if error.diag.message_detail else ""
    return (
        f"PostgreSQL refuses the load: {first_line(error)}{detail}; nothing was published. Something that Taxi Assets "
        f"did not make is in the way{f' at {where}' if where else ''}: change or remove it, then run it again."
    )


def _lift_time_limits(connection: psycopg.Connection) -> None:
    """Set no time limits for this session, whatever the database or the role has."""
    autocommit = connection.autocommit
    connection.autocommit = True
    names = ["statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"]
    if connection.info.server_version >= 170_000:
        names.append("transaction_timeout")
    connection.execute(sql.SQL("; ").join(sql.SQL("SET {} = 0").format(sql.Identifier(name)) for name in names))
    connection.autocommit = autocommit


def checked_url(url: str | None) -> str:
    """Return the URL.

    Raises:
        ServiceError: It is not set, or not an address of PostgreSQL.
    """
    if not url:
        raise ServiceError("TAXI_POSTGRES_URL is not set; set it to postgresql://user:password@host:port/database.")
    before_host = url.partition("://")[2].rpartition("@")[0]
    if "@" in before_host or "/" in before_host:
        # libpq would take a part of the password for the host, and name it in its errors.
        raise ServiceError(
            "TAXI_POSTGRES_URL has a bare '@' or '/' in its user or password; write them as %40 and %2F."
        )
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # Its message may quote the URL, password and all.
        raise ServiceError(
            "TAXI_POSTGRES_URL is no PostgreSQL address; write it as postgresql://user:password@host:port/database."
        ) from None
    return url


def database_name(url: str) -> str:
    """Return the database's name and host in words without secrets."""
    where = conninfo_to_dict(url)
    return f"the database {where.get('dbname', '')} at {where.get('host', 'localhost')}"


def check_encoding(connection: psycopg.Connection) -> None:
    """Refuse a database whose encoding cannot hold every text.

    Raises:
        ServiceError: It is not UTF8.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ServiceError(
            f"The database {connection.info.dbname} has the encoding {encoding}, which cannot hold every text of the "
            f"trips; create one with ENCODING 'UTF8' TEMPLATE template0, and let TAXI_POSTGRES_URL name it. {DOCTOR}"
        )


def lock_tables(cursor: psycopg.Cursor, tables: Sequence[str], mode: str = "ACCESS EXCLUSIVE") -> None:
    """Lock tables until the end of the transaction; those that do not exist are passed over.

    Tables are names as SQL has them, with their schemas.

    Readers queue behind a lock that waits. So each attempt waits `LOCK_TIMEOUT_MS` a table at most and then lets
    everybody pass, and attempts are repeated for `LOCK_PATIENCE_SECONDS`.

    Raises:
        ServiceUnavailableError: Somebody holds a table for longer; names the sessions.
    """
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            with cursor.connection.transaction():
                cursor.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_TIMEOUT_MS))
                for table in tables:
                    _lock(cursor, table, mode)
        except errors.LockNotAvailable:
            if time.monotonic() > deadline:
                raise ServiceUnavailableError(_in_the_way(cursor, tables)) from None
            time.sleep(random.uniform(*_PAUSE_SECONDS))
        else:
            return


def _lock(cursor: psycopg.Cursor, table: str, mode: str) -> None:
    [(name,)] = cursor.execute("SELECT to_regclass(%s)::text", [table]).fetchall()
    if name is not None:
        # Quoted by PostgreSQL itself, as somebody else's table may need.
        cursor.execute(sql.SQL("LOCK TABLE ONLY {} IN {} MODE").format(sql.SQL(name), sql.SQL(mode)))


def _in_the_way(cursor: psycopg.Cursor, tables: Sequence[str]) -> str:
    """Return who holds the tables, in a sentence."""
    query = """
        SELECT DISTINCT a.pid, a.usename, a.application_name, extract(epoch FROM clock_timestamp() - a.xact_start)::int
        FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.granted AND l.relation = ANY(%s::text[]::regclass[]) AND l.pid <> pg_backend_pid() ORDER BY a.pid
    """
    found = [
        f"process {pid} of {user}{f' ({application})' if application else ''}"
        f"{f', open for {age} s' if age is not None else ''}"
        for pid, user, application, age in cursor.execute(query, [list(tables)]).fetchall()
    ]
    return (
        f"{tables[0]} was in use for longer than {LOCK_PATIENCE_SECONDS:.0f} s by "
        f"{'; '.join(found) or 'a session that has ended meanwhile'}; let it end, or end it by "
        "`SELECT pg_terminate_backend(process)`, and run it again."
    )


def first_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
