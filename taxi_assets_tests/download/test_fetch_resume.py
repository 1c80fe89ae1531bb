"""A broken or killed transfer goes on where it stopped, and two processes at once leave one whole file."""

import gzip
import json
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from taxi_assets.download.fetch import download
from taxi_assets.download.fingerprint import RawFile
from taxi_assets.download.retries import RetrySettings
from taxi_assets.errors import (
    SourceUnavailableError,
)
from taxi_assets_tests.support.download_helpers import (
    CSV,
    DATA,
    FAST,
    HALF,
    NAME,
    ONCE,
    ROOT,
    SCRIPT,
    SHA,
    assert_whole,
    names,
)
from taxi_assets_tests.support.http_server import Fault, FileServer
from taxi_assets_tests.support.waiting import HANG_SECONDS, wait_for

# --- Resuming -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault(cut_after=HALF), Fault(no_etag=True, cut_after=HALF)])
def test_a_broken_transfer_resumes_in_the_same_call(server: FileServer, folder: Path, fault: Fault) -> None:
    server.plan(f"/{NAME}", fault, Fault(no_etag=fault.no_etag))
    raw = download(server.url(f"/{NAME}"), folder, retry=FAST)
    assert_whole(raw, folder)
    assert (raw.attempts, raw.resumed_bytes) == (2, HALF)
    second = server.seen[1]
    assert second.status == 206
    assert second.headers["Range"] == f"bytes={HALF}-"
    assert second.headers["If-Range"] == (raw.fingerprint.etag or raw.fingerprint.last_modified)


@pytest.mark.parametrize(
    "then",
    [Fault(ignore_range=True), Fault(wrong_range=True), Fault(status=416), Fault(headers={"ETag": '"another"'})],
)
def test_a_server_that_cannot_continue_sends_it_all(server: FileServer, folder: Path, then: Fault) -> None:
    server.plan(f"/{NAME}", Fault(cut_after=HALF), then)
    raw = download(server.url(f"/{NAME}"), folder, retry=FAST)
    assert_whole(raw, folder)
    assert raw.resumed_bytes == 0
    assert server.seen[-1].status == 200


def test_a_file_that_changed_meanwhile_is_fetched_from_zero(server: FileServer, folder: Path) -> None:
    url = server.url(f"/{NAME}")
    server.plan(f"/{NAME}", Fault(cut_after=HALF))
    with pytest.raises(SourceUnavailableError):
        download(url, folder, retry=ONCE)
    other = gzip.compress(CSV[::-1].replace(b"\n", b",\n"))
    server.put(NAME, other)
    raw = download(url, folder, retry=FAST)
    assert_whole(raw, folder, other)
    assert raw.resumed_bytes == 0
    assert "Range" in server.seen[1].headers


@pytest.mark.parametrize(
    "fault",
    [
        Fault(no_etag=True, no_last_modified=True, cut_after=HALF),
        Fault(headers={"ETag": 'W/"weak"'}, cut_after=HALF),
        Fault(no_etag=True, headers={"Last-Modified": "Fri, 01 Jan 2100 00:00:00 GMT"}, cut_after=HALF),
    ],
)
def test_without_a_strong_validator_nothing_is_resumed(server: FileServer, folder: Path, fault: Fault) -> None:
    server.plan(f"/{NAME}", fault)
    with pytest.raises(SourceUnavailableError):
        download(server.url(f"/{NAME}"), folder, retry=ONCE)
    assert names(folder) == []
    assert_whole(download(server.url(f"/{NAME}"), folder, retry=ONCE), folder)
    assert "Range" not in server.seen[-1].headers


def test_a_part_of_another_source_or_boot_or_without_sidecar_is_not_used(server: FileServer, folder: Path) -> None:
    server.put(f"mirror/{NAME}", DATA)
    part, sidecar = folder / f"{NAME}.part", folder / f"{NAME}.part.json"

    def broken(change: Callable[[dict[str, object]], object]) -> None:
        server.plan(f"/{NAME}", Fault(cut_after=HALF))
        with pytest.raises(SourceUnavailableError):
            download(server.url(f"/{NAME}"), folder, retry=ONCE)
        assert part.stat().st_size == HALF
        noted = json.loads(sidecar.read_text())
        change(noted)
        sidecar.write_text(json.dumps(noted) if noted else "{torn")
        raw = download(server.url(f"/{NAME}"), folder, retry=ONCE)
        assert_whole(raw, folder)
        assert raw.resumed_bytes == 0
        assert "Range" not in server.seen[-1].headers

    broken(lambda noted: noted.update(url=server.url(f"/mirror/{NAME}")))
    broken(lambda noted: noted.update(boot="another"))
    broken(lambda noted: noted.update(inode=1))
    broken(lambda noted: noted.clear())


def test_a_whole_part_only_lacks_its_last_byte(server: FileServer, folder: Path) -> None:
    """Killed between the last byte and the rename."""
    server.plan(f"/{NAME}", Fault(cut_after=HALF))
    with pytest.raises(SourceUnavailableError):
        download(server.url(f"/{NAME}"), folder, retry=ONCE)
    with (folder / f"{NAME}.part").open("r+b") as part:
        part.write(DATA)
    raw = download(server.url(f"/{NAME}"), folder, retry=ONCE)
    assert_whole(raw, folder)
    assert raw.resumed_bytes == len(DATA) - 1


def start(url: str, folder: Path) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-c", SCRIPT, url, str(folder)]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_process_leaves_what_a_new_one_resumes(server: FileServer, folder: Path) -> None:
    server.plan(f"/{NAME}", Fault(hang_after=HALF))
    part = folder / f"{NAME}.part"
    with start(server.url(f"/{NAME}"), folder) as first:
        wait_for(lambda: part.exists() and part.stat().st_size == HALF, "the first half", pause=0.005)
        first.send_signal(signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    server.release.set()
    with start(server.url(f"/{NAME}"), folder) as second:
        output, errors = second.communicate(timeout=HANG_SECONDS)
    assert output.split() == [SHA, str(HALF)], errors
    assert server.seen[-1].status == 206
    assert server.seen[-1].headers["Range"] == f"bytes={HALF}-"
    assert (folder / NAME).read_bytes() == DATA
    assert names(folder) == [NAME]


# --- Two at once ----------------------------------------------------------------------------------


def in_background(work: Callable[[], RawFile]) -> tuple[threading.Thread, list[RawFile]]:
    results: list[RawFile] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    return thread, results


@pytest.mark.parametrize("validators", [True, False])
def test_the_second_of_two_waits_and_takes_what_the_first_fetched(
    server: FileServer, folder: Path, validators: bool
) -> None:
    url, plain = server.url(f"/{NAME}"), Fault(no_etag=not validators, no_last_modified=not validators)
    server.always(f"/{NAME}", plain)
    # The first one's transfer hangs until released and then breaks, so that it takes a second request.
    server.plan(f"/{NAME}", Fault(**{**vars(plain), "hang_after": HALF}))
    first, results = in_background(lambda: download(url, folder, retry=FAST))
    part = folder / f"{NAME}.part"
    wait_for(lambda: part.exists() and part.stat().st_size == HALF, "the first half", pause=0.005)
    second, others = in_background(lambda: download(url, folder, retry=FAST))
    wait_for(lambda: waiting_for_lock(second), "the wait of the second", pause=0.005)
    server.release.set()
    first.join(HANG_SECONDS)
    second.join(HANG_SECONDS)
    assert_whole(results[0], folder)
    assert_whole(others[0], folder)
    statuses = [seen.status for seen in server.seen]
    assert statuses == ([200, 206, 304] if validators else [200, 200, 200])


def waiting_for_lock(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    entry = traceback.extract_stack(frame)[-1] if frame else None
    return bool(entry and entry.name == "_lock" and "sleep" in (entry.line or ""))


def test_waiting_for_another_process_is_bounded(server: FileServer, folder: Path) -> None:
    server.plan(f"/{NAME}", Fault(hang_after=HALF))
    with start(server.url(f"/{NAME}"), folder) as holder:
        assert server.hanging.wait(HANG_SECONDS)
        with pytest.raises(SourceUnavailableError, match="Another process has been fetching"):
            download(server.url(f"/{NAME}"), folder, retry=RetrySettings(5, 1, 0.01, 0.2))
        holder.kill()
    assert len(server.seen) == 1
    assert_whole(download(server.url(f"/{NAME}"), folder, retry=FAST), folder)


def test_five_processes_leave_one_whole_file(server: FileServer, folder: Path) -> None:
    started = [start(server.url(f"/{NAME}"), folder) for _ in range(5)]
    for process in started:
        output, errors = process.communicate(timeout=HANG_SECONDS)
        assert output.split()[:1] == [SHA], errors
    assert names(folder) == [NAME]
