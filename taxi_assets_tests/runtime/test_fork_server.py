"""Runs are forks of a process without threads, and start without it where that would not be safe."""

import importlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import psutil
import pytest

from taxi_assets.runtime import fork_server
from taxi_assets_tests.support.waiting import HANG_SECONDS

# Each test starts processes that import everything.
pytestmark = pytest.mark.services


def report(queue: Any) -> None:
    queue.put((os.getppid(), fork_server.LOCATION in sys.modules))


def hang(queue: Any) -> None:
    queue.put(os.getpid())
    time.sleep(HANG_SECONDS)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[fork_server._Servers]:
    """Return the state of a code server that has started no run."""
    servers = fork_server._Servers()
    monkeypatch.setattr(fork_server, "_servers", servers)
    # Other tests of this process have a fork server with another preload.
    server = forkserver._forkserver
    before = server._preload_modules
    server._stop()
    yield servers
    server._stop()
    server._preload_modules = before


def server_pid() -> int:
    return int(forkserver._forkserver._forkserver_pid)


def start(target: Any) -> tuple[Any, Any]:
    """Start a process as a code server starts a run; the process, and what it puts into its queue."""
    context = fork_server._RunContext()
    queue = context.Queue()
    process = context.Process(target=target, args=(queue,), daemon=True)
    process.start()
    return process, queue.get(timeout=HANG_SECONDS)


def test_a_run_is_a_fork_that_has_the_code(servers: fork_server._Servers):
    for _ in range(2):
        process, (parent, has_code) = start(report)
        process.join(HANG_SECONDS)
        assert (parent, has_code, process.exitcode) == (server_pid(), True, 0)


def test_runs_die_with_the_fork_server_and_the_next_one_starts(
    servers: fork_server._Servers, capfd: pytest.CaptureFixture[str]
):
    process, pid = start(hang)
    assert psutil.Process(pid).ppid() == server_pid()
    psutil.Process(server_pid()).kill()
    # The code server takes the run for dead at that moment, so it must be.
    process.join(HANG_SECONDS)
    assert process.exitcode != 0
    psutil.wait_procs([found for found in [_process(pid)] if found], timeout=HANG_SECONDS)
    assert _process(pid) is None
    ended, _ = start(report)
    ended.join(HANG_SECONDS)
    assert ended.exitcode == 0
    assert "holds the code of runs in" in capfd.readouterr().err


def _process(pid: int) -> psutil.Process | None:
    try:
        found = psutil.Process(pid)
        return None if found.status() == psutil.STATUS_ZOMBIE else found
    except psutil.NoSuchProcess:
        return None


def test_a_killed_run_is_noticed(servers: fork_server._Servers):
    process, pid = start(hang)
    psutil.Process(pid).kill()
    process.join(HANG_SECONDS)
    assert (process.is_alive(), process.exitcode) == (False, -9)


def test_changed_code_is_imported_anew(
    servers: fork_server._Servers, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    start(report)
    monkeypatch.setattr(fork_server, "code_version", lambda: {"another": 1})
    _, (parent, has_code) = start(report)
    assert (parent, has_code) == (os.getpid(), False)
    assert "until the code location is reloaded" in capfd.readouterr().err


def test_the_version_of_the_code_is_that_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "__init__.py").touch()
    (tmp_path / "room").mkdir()
    (module := tmp_path / "room" / "module.py").write_text("one = 1")
    monkeypatch.setattr(fork_server.taxi_assets, "__file__", str(tmp_path / "__init__.py"))
    before = fork_server.code_version()
    assert fork_server.code_version() == before
    module.write_text("one = 11")
    changed = fork_server.code_version()
    assert changed != before
    (tmp_path / "room" / "new.py").touch()
    assert fork_server.code_version() != changed
    # As a file that is gone when it is looked at.
    before = fork_server.code_version()
    (tmp_path / "room" / "gone.py").symlink_to(tmp_path / "nowhere")
    assert fork_server.code_version() == before


def test_a_preload_that_fails_leaves_runs_as_they_were(
    servers: fork_server._Servers, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(fork_server, "PRELOAD_MODULE", "taxi_assets_tests.support.failing_preload")
    for _ in range(fork_server.MAX_FAILURES + 1):
        _, (parent, has_code) = start(report)
        assert (parent, has_code) == (os.getpid(), False)
    # Its imports are not paid for with every run.
    assert capfd.readouterr().err.count("The fork server ended") == fork_server.MAX_FAILURES


def preloaded(*statements: str) -> list[str]:
    """Return what a new Python prints that preloads after these statements, line by line."""
    program = "\n".join(("from taxi_assets.runtime import fork_server", *statements, "fork_server.preload()"))
    program += "\nprint(fork_server.native_threads())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG_SECONDS)
    return (done.stdout + done.stderr).splitlines()


def test_the_preload_starts_no_thread():
    assert preloaded() == ["[]"]


def test_a_thread_is_reported_with_the_import_that_started_it():
    # OpenBLAS starts one as soon as numpy is imported, on a machine with two processors or more.
    last = preloaded("fork_server.NO_THREADS = {'OPENBLAS_NUM_THREADS': '2'}")[-1]
    assert "PreloadError: importing numpy started thread " in last
    assert "no process can safely be forked" in last


def test_an_import_that_fails_is_reported():
    [last] = preloaded("fork_server.IMPORTS = ('json', 'no_such_module')")[-1:]
    assert last.endswith("PreloadError: no_such_module could not be imported: No module named 'no_such_module'")


def test_variables_are_as_before_the_preload(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fork_server, "IMPORTS", ("json",))
    monkeypatch.setattr(fork_server, "_check_threads", lambda _: None)
    monkeypatch.setattr(fork_server, "_freeze", lambda: None)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    importlib.import_module(fork_server.LOCATION)
    fork_server.preload()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"
    assert "JE_ARROW_MALLOC_CONF" not in os.environ


def test_a_code_server_starts_runs_by_it(monkeypatch: pytest.MonkeyPatch):
    """The place where Dagster is changed is still there."""
    from dagster._grpc.server import DagsterApiServer

    monkeypatch.setattr(DagsterApiServer, "_mp_ctx", None, raising=False)
    server = object.__new__(DagsterApiServer)
    server._mp_ctx = multiprocessing.get_context("spawn")
    fork_server.install()
    assert isinstance(server._mp_ctx, fork_server._RunContext)
    assert "self._mp_ctx.Process(" in Path(sys.modules["dagster._grpc.server"].__file__ or "").read_text()
