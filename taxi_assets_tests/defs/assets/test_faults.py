"""A source that fails in every way: one sentence of what was found and what to do, and nothing is lost."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import run
from typing import BinaryIO

import pytest

from taxi_assets.cleaning import duplicates
from taxi_assets.download import part_file as partfile
from taxi_assets.local.ports import free_port
from taxi_assets.resources import lake as lake_module
from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import World, make_world, retries
from taxi_assets_tests.support.http_server import Fault, FileServer, serve
from taxi_assets_tests.support.versions import APRIL, Version, everywhere, fails, held, version

GOOD, NEWER = version(300), version(310)
PARQUET = version(310, "parquet")
UNKNOWN_HEADER = b"trip_id,when,how_much\n1,2020-04-01 00:00:00,5\n"

# What the source does, the words of the sentence, and whether trying again may help.
FAULTS: dict[str, tuple[Fault, list[str], bool]] = {
    "404": (Fault(status=404), ["green 2020-04 is not published", "HTTP 404", "two months late"], False),
    "403": (Fault(status=403), ["HTTP 403", "check the month and the access"], False),
    "429": (Fault(status=429), ["HTTP 429", "run it again later"], True),
    "503": (Fault(status=503), ["HTTP 503", "run it again later"], True),
    "hang": (Fault(hang_before=True), ["nothing came for 0.3 s", "run it again later"], True),
    "broken connection": (Fault(cut_after=500), ["the connection broke after", "bytes", "run it again later"], True),
    "HTML page": (
        Fault(body=b"<html><head><title>Moved</title></head></html>"),
        ["an HTML or XML page ('Moved')", "TAXI_SOURCE"],
        False,
    ),
    "truncated gzip": (Fault(body=NEWER.data[:2000]), ["a torn gzip", "after 2000 bytes", "TAXI_SOURCE"], False),
    "empty file": (Fault(body=b""), ["is empty", "TAXI_SOURCE"], False),
    "other format": (Fault(body=PARQUET.data), ["a Parquet file where a CSV header was expected"], False),
}


@pytest.fixture(scope="module")
def shared(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, FileServer]]:
    """Return a world with a published month, and its source; each test leaves whatever version it published."""
    folder = tmp_path_factory.mktemp("faults")
    with serve(folder / "source") as server:
        yield served(make_world(services, folder / "data"), server), server


def newer(world: World) -> Version:
    """Another version than the one that is published."""
    return GOOD if held(world) == everywhere(NEWER) else NEWER


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with serve(tmp_path / "source") as server:
        yield server


def served(world: World, server: FileServer, ending: str = "csv.gz") -> World:
    """Return the world with that server as its source, and a first version of the month published."""
    server.put("green_2020-04.csv.gz", GOOD.data)
    found = world.with_source(server.url("/green_{month}.csv.gz"), timeout_seconds=0.3, attempts=2)
    assert found.run("green", APRIL).success
    assert held(found) == everywhere(GOOD)
    if ending != "csv.gz":
        found = found.with_source(server.url("/green_{month}." + ending), timeout_seconds=0.3, attempts=2)
    return found


@pytest.mark.parametrize("name", FAULTS)
def test_a_source_that_fails_loses_nothing(shared: tuple[World, FileServer], name: str):
    fault, words, retried = FAULTS[name]
    found, server = shared
    before, new = held(found), newer(found)
    server.put("green_2020-04.csv.gz", new.data)
    server.always("/green_2020-04.csv.gz", fault)
    fails(found, words, retried)
    assert held(found) == before

    server.always("/green_2020-04.csv.gz", Fault())
    assert found.run("green", APRIL).success
    assert held(found) == everywhere(new)
    assert not found.leftovers()


def test_a_passing_fault_is_passed_within_the_run(world: World, server: FileServer):
    found = served(world, server)
    server.put("green_2020-04.csv.gz", NEWER.data)
    # The source is asked twice in an attempt of the step, so that the step itself is tried again.
    server.plan("/green_2020-04.csv.gz", Fault(status=503), Fault(cut_after=500))
    result = found.run("green", APRIL)
    assert result.success
    assert retries(result) == 1
    assert held(found) == everywhere(NEWER)


def test_a_parquet_file_without_its_footer(world: World, server: FileServer):
    found = served(world, server, "parquet")
    server.put("green_2020-04.parquet", PARQUET.data[:-50])
    fails(found, ["without its footer", "fetch it again"], False)
    assert held(found) == everywhere(GOOD)
    server.put("green_2020-04.parquet", PARQUET.data)
    assert found.run("green", APRIL).success
    assert held(found) == everywhere(PARQUET)
    assert not found.leftovers()


def test_a_header_that_the_contract_does_not_know(world: World, server: FileServer):
    """It is archived, being what was published, and goes no further."""
    found = served(world, server, "csv")
    server.put("green_2020-04.csv", UNKNOWN_HEADER)
    fails(found, ["trip_id", "green"], False)
    assert held(found) == everywhere(GOOD)
    archived = [item.name for item in found.lake.list("raw/")]
    assert archived == ["raw/green/green_2020-04.csv", "raw/green/green_2020-04.csv.gz"]
    again = found.with_source(server.url("/green_{month}.csv.gz"))
    assert again.run("green", APRIL).success
    assert held(again) == everywhere(GOOD)
    assert not again.leftovers()


@pytest.mark.parametrize(
    ("templates", "words", "retried"),
    [
        ("http://127.0.0.1:{port}/green_{month}.csv.gz", ["the connection was refused", "run it again later"], True),
        ("http://source.invalid/green_{month}.csv.gz", ["source.invalid", "run it again later"], True),
        ("file:///no/such/folder/green_{month}.csv.gz", ["not published", "no such file"], False),
    ],
)
def test_a_source_that_is_not_there(world: World, templates: str, words: list[str], retried: bool):
    fails(world.with_source(templates.replace("{port}", str(free_port())), attempts=2), words, retried)
    assert not world.leftovers()


def full_disk_at(name: str) -> Callable[[Path], object]:
    """`scratch_folder`, with one file on a device that is always full."""
    original = lake_module.scratch_folder

    @contextmanager
    def scratch_folder(parent: Path) -> Iterator[Path]:
        with original(parent) as folder:
            (folder / name).symlink_to("/dev/full")
            yield folder

    return scratch_folder


def full_file(dir: Path) -> BinaryIO:
    """`TemporaryFile` on that device."""
    return Path("/dev/full").open("w+b")


@pytest.mark.parametrize("name", ["kept.parquet", "rejected.parquet", "keys", "green_2020-04.csv.gz"])
def test_a_disk_that_fills_up_in_the_cleaning(
    shared: tuple[World, FileServer], monkeypatch: pytest.MonkeyPatch, name: str
):
    found, server = shared
    before, new = held(found), newer(found)
    server.put("green_2020-04.csv.gz", new.data)
    assert found.run("green", APRIL, "raw_file").success
    if name == "green_2020-04.csv.gz":
        # Another machine's disk, where the raw file must first be fetched.
        found.lake.local_path(f"raw/green/{name}").unlink()
    with monkeypatch.context() as patch:
        if name == "keys":
            patch.setattr(duplicates, "TemporaryFile", full_file)
        else:
            patch.setattr(lake_module, "scratch_folder", full_disk_at(name))
        fails(found, ["disk is full", "TAXI_DATA_DIR"], False, "clean_parquet")
    assert held(found) == before
    assert found.run("green", APRIL).success
    assert held(found) == everywhere(new)
    assert not found.leftovers()


def test_a_disk_that_fills_up_in_the_download(shared: tuple[World, FileServer], monkeypatch: pytest.MonkeyPatch):
    found, server = shared
    before, new = held(found), newer(found)
    server.put("green_2020-04.csv.gz", new.data)

    def full(fd: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(partfile, "_write", full)
        fails(found, ["The disk of", "is full", "TAXI_DATA_DIR"], False)
    assert held(found) == before
    assert found.run("green", APRIL).success
    assert held(found) == everywhere(new)
    assert not found.leftovers()


@pytest.mark.parametrize("kilobytes", [8, 32])
def test_a_small_disk(world: World, server: FileServer, tmp_path: Path, kilobytes: int):
    """A real one; with 8 kB the raw file does not fit, with 32 kB the cleaned ones do not."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        found = served(world, server)
        server.put("green_2020-04.csv.gz", NEWER.data)
        found.resources["lake"] = type(world.lake)(**dict(world.lake) | {"data_dir": str(disk)})
        fails(found, ["disk", "full", "TAXI_DATA_DIR"], False)
        left = [path.name for path in disk.rglob("*") if path.is_file()]
        assert left == (["green_2020-04.csv.gz"] if kilobytes == 32 else [])
    finally:
        run(["umount", "-l", disk], check=True)
