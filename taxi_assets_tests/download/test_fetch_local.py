"""Files of this machine, safe names, secrets that never show, and disks that are full."""

import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import pytest

from taxi_assets.download import part_file, size_limits
from taxi_assets.download.fetch import download, probe
from taxi_assets.download.fingerprint import Fingerprint, file_name_of, redact
from taxi_assets.download.http import ForbiddenError
from taxi_assets.errors import (
    BadFileError,
    DiskFullError,
    NotPublishedError,
    SettingsError,
    SourceError,
    SourceUnavailableError,
)
from taxi_assets_tests.support.download_helpers import (
    CSV,
    DATA,
    FAST,
    IMPATIENT,
    NAME,
    ONCE,
    ROOT,
    SCRIPT,
    assert_whole,
    names,
)
from taxi_assets_tests.support.http_server import Fault, FileServer

# --- Files of this machine ------------------------------------------------------------------------


def test_a_local_file_is_copied_checked_and_compared(tmp_path: Path, folder: Path) -> None:
    source = tmp_path / "with space" / NAME
    source.parent.mkdir()
    source.write_bytes(DATA)
    url = f"file://{tmp_path}/with%20space/{NAME}"
    calls: list[tuple[int, int | None]] = []
    raw = download(url, folder, retry=ONCE, progress=lambda *call: calls.append(call))
    assert_whole(raw, folder)
    status = source.stat()
    assert raw.fingerprint.etag == f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
    assert raw.fingerprint == probe(url)
    assert calls == [(len(DATA), len(DATA))]
    assert download(url, folder, [raw.fingerprint], ONCE).not_modified
    os.utime(source, ns=(1, 1))
    assert_whole(download(url, folder, [raw.fingerprint], ONCE), folder)


def test_local_files_that_cannot_be_read_are_told_apart(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "page.csv").write_text("<html>")
    with pytest.raises(NotPublishedError, match="no such file"):
        download(f"file://{tmp_path}/none.csv", folder)
    with pytest.raises(NotPublishedError, match="no such file"):
        download(f"file://{tmp_path}/page.csv/none.csv", folder)
    for name in ("folder.csv", "pipe.csv"):
        with pytest.raises(SourceError, match="is not a regular file"):
            download(f"file://{tmp_path}/{name}", folder)
    with pytest.raises(BadFileError, match="HTML"):
        download(f"file://{tmp_path}/page.csv", folder)
    assert names(folder) == []


def test_files_and_folders_without_permission_are_named() -> None:
    home = Path(tempfile.mkdtemp(prefix="taxi-permission-"))
    root = os.geteuid() == 0
    try:
        home.chmod(0o755)
        closed, locked = home / "closed.csv", home / "locked"
        closed.write_bytes(CSV)
        closed.chmod(0)
        locked.mkdir(mode=0o555)
        (home / "open.csv").write_bytes(CSV)
        (home / "mine").mkdir(mode=0o777)
        (home / "mine").chmod(0o777)
        if root:
            os.seteuid(65534)
        with pytest.raises(SourceError, match="Permission denied"):
            download(f"file://{closed}", home / "mine", retry=ONCE)
        with pytest.raises(SettingsError, match=r"cannot be written \(Permission denied\)"):
            download(f"file://{home}/open.csv", locked, retry=ONCE)
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(home)


# --- Names, secrets, space ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["http://h/.csv", "http://h/..%2Fa.csv", "http://h/%2e%2e/..csv", "http://h/a b.csv", "http://h/a.txt", "http://h/",
     "http://h", "http:///a.csv", "http://[::1/a.csv", "http://h:99999/a.csv", "ftp://h/a.csv", "a.csv", "/a.csv",
     "http://h/a.csv%00", "http://h/a%5Cb.csv", "http://h/" + "a" * 300 + ".csv", "file://host/a.csv",
     "file:///a%00/a.csv", "http://h/ä.csv", "http://h/a.csv%0a"],
)  # fmt: skip
def test_addresses_that_give_no_safe_name_are_refused(url: str, folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"TAXI_SOURCE|file:///"):
        download(url, folder)
    assert not folder.exists()


def test_redaction() -> None:
    assert redact("https://u:p@h:8/a/b.csv?sig=x#y") == "https://h:8/a/b.csv"
    assert redact("https://u:p@w@h/a.csv") == "https://h/a.csv"
    assert redact("https://h/a@b.csv") == "https://h/a@b.csv"
    assert redact("http://[::1]:8/a.csv") == "http://[::1]:8/a.csv"
    assert redact("file:///a/b.csv") == "file:///a/b.csv"
    assert redact("https://{dataset}.h/a_{month}.csv?k=1") == "https://{dataset}.h/a_{month}.csv"
    for mistaken in ("https://u:hush?w@h/a.csv", "https://u:12/hush@h/a.csv", "https://u:12#hush@h/a.csv"):
        assert redact(mistaken) == "https://(unreadable address)"
    assert file_name_of("https://u:p@h/x/a.parquet?sig=a/b.csv") == "a.parquet"


@pytest.mark.parametrize(
    "fault",
    [Fault(), Fault(status=404), Fault(status=403), Fault(status=401), Fault(status=503), Fault(cut_after=10),
     Fault(hang_before=True), Fault(body=b"<html>"), Fault(redirect="ftp://elsewhere/x?hush=hush"),
     Fault(redirect=f"/{NAME}?again")],
)  # fmt: skip
def test_secrets_are_sent_and_never_shown(
    server: FileServer, folder: Path, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.always(f"/{NAME}", fault)
    url = server.url(f"/{NAME}?sig=hush", userinfo="me:hush%21")
    shown = ""
    try:
        shown = repr(download(url, folder, retry=IMPATIENT))
    except Exception as error:
        shown = "".join(traceback.format_exception(error))
    assert server.url(f"/{NAME}") in shown
    assert "hush" not in shown + caplog.text
    assert server.seen[0].headers["Authorization"] == "Basic bWU6aHVzaCE="
    assert server.seen[0].query == "sig=hush"
    leftovers = [path for path in folder.iterdir() if path.suffix == ".json"]
    assert all("hush" not in path.read_text() for path in leftovers)


def test_secrets_do_not_show_when_nothing_answers(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://me:hush@127.0.0.1:{port}/a.csv?sig=hush"
    with pytest.raises(SourceUnavailableError) as caught:
        download(url, folder, retry=IMPATIENT)
    assert "hush" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_a_file_that_cannot_fit_is_refused_before_it_is_fetched(
    server: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size_limits, "MAX_FILE_BYTES", 10**18)
    server.always(f"/{NAME}", Fault(content_length=10**17, cut_after=1000))
    with pytest.raises(
        DiskFullError, match=r"100000000000000000 more bytes are needed and \d+ are free.*TAXI_DATA_DIR"
    ):
        download(server.url(f"/{NAME}"), folder, retry=FAST)
    assert names(folder) == []


def test_a_disk_that_fills_up_is_named_and_given_its_space_back(
    server: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.url(f"/{NAME}")
    download(url, folder, retry=FAST)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        # What the kernel itself raises: the bytes go to a device that is always full.
        monkeypatch.setattr(part_file, "_write", lambda fd, data: os.write(full, data))
        with pytest.raises(DiskFullError, match=rf"The disk of {folder} is full: \d+ bytes are free.*TAXI_DATA_DIR"):
            download(url, folder, retry=FAST)
    finally:
        os.close(full)
    assert names(folder) == [NAME]
    assert (folder / NAME).read_bytes() == DATA


def test_a_real_full_disk(server: FileServer, tmp_path: Path) -> None:
    """A tmpfs of 128 KiB in a namespace of its own, where the machine allows that."""
    mount = tmp_path / "small"
    mount.mkdir()
    allowed = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=128k", "none", str(mount)]
    if not shutil.which("unshare") or subprocess.run(allowed, capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    server.put("long.csv", b"a,b\n" + b"1,2\n" * 100_000)
    server.always("/long.csv", Fault(no_length=True))  # so that the lack of space shows only while writing
    command = (
        f"mount -t tmpfs -o size=128k none {mount} && {sys.executable} -c '{SCRIPT}' {server.url('/long.csv')} {mount}"
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"{command}; ls {mount}"], cwd=ROOT, capture_output=True, text=True, timeout=20
    )
    assert "DiskFullError: The disk of" in done.stderr, done.stderr
    assert "bytes are free" in done.stderr, done.stderr
    assert done.stdout == ""


def test_looking_reads_only_headers(server: FileServer) -> None:
    found = probe(server.url(f"/{NAME}"), FAST)
    assert (found.bytes, [seen.method for seen in server.seen]) == (len(DATA), ["HEAD"])
    assert found.etag
    assert Fingerprint.from_metadata(found.to_metadata()) == found
    assert Fingerprint.from_metadata({"other": "x"}) is None
    assert Fingerprint.from_metadata(None) is None
    server.always("/none.csv", Fault(status=403))
    with pytest.raises(ForbiddenError):
        probe(server.url("/none.csv"), FAST)
