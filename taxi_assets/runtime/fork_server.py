"""Start run processes as forks of a server that has imported the code already, instead of importing it for each run.

Dagster's code server starts each run by multiprocessing's `spawn`: a new Python imports Dagster, the clients and the
definitions, about three seconds of a processor. `install` makes it use multiprocessing's fork server, which imports
them once. Dagster did so in 2022 and went back; three faults of that time are avoided here:

- On macOS a forked process may crash in a system framework that `requests` uses (dagster#6676). There, `spawn` stays.
- A preload that fails is ignored without a word (dagster#30893, python/cpython#117378). `preload` reports its end, and
  its failure makes runs start by `spawn`.
- A fork copies no thread, but locks that threads held. `preload` keeps native libraries from starting threads, and
  fails with the names of those that run.

Two more rules keep it as safe as `spawn`. If the fork server dies, its runs die with it, because the code server takes
them for dead. If files of the code change, runs start by `spawn` and import them anew, until the code location is
reloaded: a reload starts a new code server, which has a fork server of its own.
"""

import ctypes
import gc
import importlib
import os
import signal
import sys
import sysconfig
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess, SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any

import psutil

import taxi_assets
from taxi_assets.runtime.dagster_internals import DagsterApiServer

PRELOAD_MODULE = "taxi_assets.runtime.fork_server_preload"
LOCATION = "taxi_assets.definitions"
# In this order, so that a thread is reported with the import that started it. The command line is what the main module
# of a code server imports, which each of its processes repeats.
IMPORTS = (
    "dagster._cli",
    "dagster._grpc.impl",
    "dagster_postgres",
    "numpy",
    "taxi_assets.lean_imports",
    "pyarrow.parquet",
    "pyarrow.csv",
    "google.cloud.storage",
    "psycopg",
    LOCATION,
)
# Read by OpenBLAS and by Arrow's jemalloc when they are loaded: each would start a thread.
NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
# A fork server that cannot start would cost its imports for every run.
MAX_FAILURES = 3
_PR_SET_PDEATHSIG = 1


class PreloadError(Exception):
    """The code cannot be preloaded, or not without threads."""


def install() -> None:
    """Let the code servers of this process start runs by a fork server, which starts with the first run."""
    context = _RunContext()
    # A code server reads its attribute `_mp_ctx` for each run, and a property of the class comes before it. The context
    # is no argument of the server, and a launcher cannot start processes in the code server's container.
    DagsterApiServer._mp_ctx = property(lambda _: context, lambda _, __: None)  # type: ignore[assignment]


class _RunProcess(SpawnProcess):
    """A run's process: forked from the fork server or, if that is not possible, spawned."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 (the name is multiprocessing's)
        return _servers.start(process_obj) or SpawnProcess._Popen(process_obj)


class _RunContext(SpawnContext):
    """The context that a code server makes queues, events and processes of runs with."""

    Process = _RunProcess


class _Servers:
    """The fork server of this process, and whether it may start the next run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: Mapping[str, Any] | None = None
        self._failures = 0

    def start(self, process_obj: Any) -> Any:
        """Start a process by the fork server; return None if it must be spawned."""
        with self._lock:
            if self._failures >= MAX_FAILURES:
                return None
            found = code_version()
            if self._loaded is None:
                self._loaded = found
                forkserver.set_forkserver_preload([PRELOAD_MODULE])
            if found != self._loaded:
                _log("The code has changed. Runs import it anew, in seconds, until the code location is reloaded.")
                return None
        try:
            started = ForkServerProcess._Popen(process_obj)
        except (OSError, EOFError) as error:
            # Killed, or ended by a preload that failed, which it has logged. multiprocessing starts another one.
            self._failures += 1
            _log(f"The fork server ended ({error!r}). This run imports the code anew, which takes longer.")
            return None
        self._failures = 0
        return started


def code_version() -> dict[str, Any]:
    """Return what changes if this package's files or the installed packages do."""
    folder = Path(taxi_assets.__file__).parent
    files: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.py")):
        # A file can be replaced at this moment, by an upgrade.
        with suppress(FileNotFoundError):
            files[str(path)] = (path.stat().st_mtime_ns, path.stat().st_size)
    # Each installation renames folders here.
    return files | {"installed": Path(sysconfig.get_path("purelib")).stat().st_mtime_ns}


def preload() -> None:
    """Import the code in a process that will only fork.

    Raises:
        PreloadError: An import failed, or a thread runs.
    """
    with _variables(NO_THREADS):
        for name in IMPORTS:
            try:
                importlib.import_module(name)
            except Exception as error:
                raise PreloadError(f"{name} could not be imported: {error}") from error
            _check_threads(f"importing {name}")
    definitions = sys.modules[LOCATION].defs.get_repository_def()
    # Jobs are built from assets when they are first used.
    definitions.get_all_jobs()
    _check_threads("building the definitions")
    _freeze()


def _freeze() -> None:
    """Keep garbage collections of the runs from writing to, and so copying, the pages that they share."""
    gc.collect()
    gc.freeze()


def _check_threads(after: str) -> None:
    threads = native_threads()
    if threads:
        raise PreloadError(f"{after} started {', '.join(threads)}, so that no process can safely be forked")


def native_threads() -> list[str]:
    """Return the names of all threads of this process but the main one, those of native libraries included."""
    tasks = Path("/proc/self/task")
    found = [path for path in tasks.iterdir() if path.name != str(os.getpid())]
    return [f"thread {path.name} ({(path / 'comm').read_text().strip()})" for path in found]


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def preload_if_possible() -> bool:
    """Preload and log the memory that forks share or, if the code cannot be preloaded, why. Return whether it was."""
    try:
        preload()
    except PreloadError as error:
        _log(f"Processes of runs import the code themselves, which takes longer: {error}.")
        return False
    memory = psutil.Process().memory_info().rss
    _log(f"Process {os.getpid()} holds the code of runs in {memory / 2**20:.0f} MiB, which their processes share.")
    return True


def become_fork_server() -> None:
    """Preload in a process of multiprocessing's fork server; end the process if that fails."""
    if not preload_if_possible():
        raise SystemExit(1)
    die_together()


def die_together() -> None:
    """Let every process that this one forks be killed when this one ends."""
    server, libc = os.getpid(), ctypes.CDLL(None)
    forked = False

    def bind() -> None:
        nonlocal forked
        # What a run forks is bound to that run by nobody.
        if forked:
            return
        forked = True
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != server:
            # The server ended between the fork and this line, so no signal will come.
            os._exit(1)

    os.register_at_fork(after_in_child=bind)


def _log(message: str) -> None:
    # The standard error of a code server is the log of what started it.
    print(message, file=sys.stderr, flush=True)


_servers = _Servers()
