"""What `taxi doctor` finds at the source."""

from pathlib import Path

import pytest

from taxi_assets.doctor import source
from taxi_assets.doctor.check import Line, run_checks
from taxi_assets.resources.source import SourceResource
from taxi_assets_tests.support.http_server import FileServer, serve


def lines(templates: str) -> list[Line]:
    return run_checks(source.checks({"source": SourceResource(templates=templates)}))


@pytest.fixture
def server(tmp_path: Path):
    with serve(tmp_path) as found:
        yield found


def test_the_sample_needs_no_network() -> None:
    [line] = lines("sample")
    assert (line.status, "sample" in line.text) == ("ok", True)


@pytest.mark.parametrize("dataset", ["green", "fhvhv"])
def test_a_month_of_whichever_dataset_it_has(server: FileServer, dataset: str) -> None:
    server.put(f"{dataset}_2020-04.csv", b"x" * 2000)
    [line] = lines(server.url("/{dataset}_{month}.csv"))
    assert (line.status, f"it has {dataset} 2020-04" in line.text) == ("ok", True)


def test_a_source_without_the_month(server: FileServer) -> None:
    [line] = lines(server.url("/{dataset}_{month}.csv"))
    assert (line.status, "TAXI_SOURCE" in line.text) == ("warning", True)


def test_a_name_that_has_no_address() -> None:
    found = lines("https://no-such-host.invalid/{dataset}_{month}.csv")
    assert [line.status for line in found] == ["failed"]
    assert "no-such-host.invalid" in found[0].text


def test_a_proxy_is_named(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.put("green_2020-04.csv", b"x" * 2000)
    monkeypatch.setenv("http_proxy", f"http://user:s3cret@127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("no_proxy", "")
    found = lines("http://tlc.example/{dataset}_{month}.csv")
    assert found[0].text == "tlc.example is asked through the proxy 127.0.0.1."
    assert not [line for line in found if "s3cret" in line.text]
