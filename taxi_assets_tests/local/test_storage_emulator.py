"""Uploads in chunks to the embedded storage, as Google's client and an interrupted one send them."""

import random
from pathlib import Path

import pytest
import requests

from taxi_assets.resources import lake
from taxi_assets_tests.conftest import World

DATA = random.Random(7).randbytes((1 << 20) + 17)
CHUNK = 1 << 18


def test_an_upload_in_many_chunks_arrives_whole(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lake, "UPLOAD_CHUNK", CHUNK)
    path = tmp_path / "data"
    path.write_bytes(DATA)
    world.lake.put(path, "raw/data", {})
    assert world.lake._bucket.blob("raw/data").download_as_bytes() == DATA


def test_an_upload_goes_on_where_it_broke_and_not_elsewhere(world: World):
    session = world.lake._bucket.blob("raw/data").create_resumable_upload_session()
    assert session is not None

    def send(start: int, end: int) -> requests.Response:
        """Return the bytes from start to end, or without any the question how many have come."""
        part = f"{start}-{end - 1}" if end > start else "*"
        headers = {"Content-Range": f"bytes {part}/{len(DATA)}"}
        return requests.put(session, DATA[start:end], headers=headers, timeout=30)

    assert send(0, CHUNK).status_code == 308
    assert send(2 * CHUNK, 3 * CHUNK).status_code == 400
    asked = send(0, 0)
    assert (asked.status_code, asked.headers["Range"]) == (308, f"bytes=0-{CHUNK - 1}")
    assert send(CHUNK, len(DATA)).status_code == 200
    assert world.lake._bucket.blob("raw/data").download_as_bytes() == DATA
