"""The source resource: templates in order, which error stands for all of them, the sample, and no secret shown."""

import gzip
import logging
import traceback
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from taxi_assets.download import size_limits
from taxi_assets.errors import (
    BadFileError,
    DiskFullError,
    NotPublishedError,
    SettingsError,
    SourceError,
    SourceUnavailableError,
    TaxiError,
)
from taxi_assets.resources.source import SourceResource
from taxi_assets.sample.maker import SampleFiles
from taxi_assets.settings import split_templates
from taxi_assets_tests.support.download_helpers import CSV
from taxi_assets_tests.support.http_server import Fault, FileServer

MONTH = date(2020, 4, 1)
DATA = gzip.compress(b"id,fare\n" + b"1,2\n" * 1000)
MIRROR = "/mirror/{dataset}/{dataset}_tripdata_{month}.csv.gz"
OTHER = "/other/{dataset}_tripdata_{month}.parquet"
AT_MIRROR, AT_OTHER = "/mirror/green/green_tripdata_2020-04.csv.gz", "/other/green_tripdata_2020-04.parquet"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "raw" / "green"


def source(server: FileServer, *templates: str, userinfo: str = "") -> SourceResource:
    return SourceResource(
        templates=" , ".join(server.url(template, userinfo) for template in templates),
        timeout_seconds=2,
        attempts=2,
        backoff_seconds=0.01,
    )


def test_the_first_template_that_has_the_month_delivers(server: FileServer, folder: Path) -> None:
    server.put(AT_MIRROR[1:], DATA)
    both = source(server, OTHER, MIRROR)
    raw = both.fetch("green", MONTH, folder)
    assert raw.path == folder / "green_tripdata_2020-04.csv.gz"
    assert raw.path.read_bytes() == DATA
    assert raw.fingerprint.url == server.url(AT_MIRROR)
    assert [seen.path for seen in server.seen] == [AT_OTHER, AT_MIRROR]
    assert both.fetch("green", MONTH, folder, [raw.fingerprint]).not_modified
    assert both.probe("green", MONTH) == raw.fingerprint
    assert both.urls("green", MONTH) == [server.url(AT_OTHER), server.url(AT_MIRROR)]


@pytest.mark.parametrize("fault", [Fault(status=403), Fault(status=410), Fault(status=503), Fault(body=b"<html>")])
def test_a_mirror_stands_in_for_a_source_that_fails(server: FileServer, folder: Path, fault: Fault) -> None:
    server.put(AT_MIRROR[1:], DATA)
    server.always(AT_OTHER, fault)
    assert source(server, OTHER, MIRROR).fetch("green", MONTH, folder).bytes == len(DATA)
    assert [path.name for path in folder.iterdir()] == ["green_tripdata_2020-04.csv.gz"]


def test_the_part_of_another_template_goes_when_one_delivers(server: FileServer, folder: Path) -> None:
    server.put(AT_MIRROR[1:], DATA)
    server.always(AT_OTHER, Fault(body=DATA * 10, cut_after=100))
    with pytest.raises(SourceUnavailableError):
        source(server, OTHER).fetch("green", MONTH, folder)
    assert sorted(path.name[-13:] for path in folder.iterdir()) == [".parquet.part", "uet.part.json"]
    source(server, OTHER, MIRROR).fetch("green", MONTH, folder)
    assert [path.name for path in folder.iterdir()] == ["green_tripdata_2020-04.csv.gz"]


def test_not_published_names_the_month_and_all_sources(server: FileServer, folder: Path) -> None:
    with pytest.raises(NotPublishedError) as caught:
        source(server, OTHER, MIRROR).fetch("yellow", date(2031, 1, 1), folder)
    assert str(caught.value) == (
        "yellow 2031-01 is not published at any of 2 sources (HTTP 404 from "
        f"{server.url('/other/yellow_tripdata_2031-01.parquet')}, "
        f"{server.url('/mirror/yellow/yellow_tripdata_2031-01.csv.gz')}); TLC publishes about two months late."
    )
    with pytest.raises(NotPublishedError, match="is not published at its source"):
        source(server, OTHER).probe("green", MONTH)
    with pytest.raises(NotPublishedError, match="no such file from file:///none/2020-04"):
        SourceResource(templates="file:///none/{month}.csv").fetch("green", MONTH, folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("faults", "error", "says"),
    [
        ((403, 404), SourceError, "HTTP 403.*not published yet.*access is refused"),
        ((404, 401), SourceError, "HTTP 401"),
        ((503, 404), SourceUnavailableError, "HTTP 503 .tried 2 times"),
        ((403, 503), SourceUnavailableError, "HTTP 503"),
        ((503, 200), SourceUnavailableError, "HTTP 503"),
        ((403, 200), BadFileError, "HTML"),
        ((404, 200), BadFileError, "HTML"),
    ],
)
def test_the_error_that_may_pass_wins(
    server: FileServer, folder: Path, faults: tuple[int, int], error: type[TaxiError], says: str
) -> None:
    for path, status in zip((AT_OTHER, AT_MIRROR), faults, strict=True):
        server.always(path, Fault(body=b"<html>") if status == 200 else Fault(status=status))
    with pytest.raises(error, match=says) as caught:
        source(server, OTHER, MIRROR).fetch("green", MONTH, folder)
    assert "None of 2 sources delivered green 2020-04." in str(caught.value)
    assert not isinstance(caught.value, NotPublishedError)
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_not_tried_again_elsewhere(
    server: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size_limits, "MAX_FILE_BYTES", 10**18)
    server.always(AT_OTHER, Fault(body=DATA, content_length=10**17))
    with pytest.raises(DiskFullError):
        source(server, OTHER, MIRROR).fetch("green", MONTH, folder)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "templates", ["", " , ", "http://h/{dataset}", "ftp://h/{month}.csv", "http://u:hush@h/{month}"]
)
def test_templates_that_give_no_raw_file_are_refused(templates: str, folder: Path) -> None:
    with pytest.raises(SettingsError, match="TAXI_SOURCE") as caught:
        SourceResource(templates=templates).fetch("green", MONTH, folder)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 401, 403, 404, 503])
def test_secrets_are_not_shown(server: FileServer, folder: Path, status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server.put(AT_MIRROR[1:], DATA)
    server.always(AT_MIRROR, Fault(status=status))
    secretive = source(server, MIRROR + "?sig=hush", userinfo="me:hush")
    try:
        shown = repr(secretive.fetch("green", MONTH, folder))
    except TaxiError as error:
        shown = "".join(traceback.format_exception(error))
    shown += repr(secretive) + str(secretive) + secretive.describe() + secretive.describe("green", MONTH) + caplog.text
    assert "hush" not in shown
    assert server.url(AT_MIRROR) in shown
    assert "hush" in server.seen[0].query
    assert "Authorization" in server.seen[0].headers


def test_an_asset_uses_it_with_the_address_from_the_environment(
    server: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put(AT_MIRROR[1:], DATA)
    monkeypatch.setenv("TAXI_SOURCE", server.url(MIRROR))

    @dg.asset
    def raw_file(source: SourceResource) -> dg.MaterializeResult[None]:
        raw = source.fetch("green", MONTH, folder)
        return dg.MaterializeResult(metadata={"bytes": raw.bytes, "source": source.describe()})

    resource = SourceResource(templates=dg.EnvVar("TAXI_SOURCE"))
    assert server.url(MIRROR) not in repr(resource)
    result = dg.materialize([raw_file], resources={"source": resource})
    assert result.asset_materializations_for_node("raw_file")[0].metadata["bytes"].value == len(DATA)


# --- The sample -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "month", "name"),
    [
        ("green", MONTH, "green_tripdata_2020-04.csv.gz"),
        ("fhvhv", date(2024, 2, 1), "fhvhv_tripdata_2024-02.parquet"),
    ],
)
def test_a_sample_month_is_made_once(folder: Path, dataset: str, month: date, name: str) -> None:
    sample = SourceResource(templates="sample", sample=SampleFiles(), sample_rows=300)
    assert sample.is_sample
    assert sample.describe() == "sample made on this machine (not TLC data)"
    calls: list[tuple[int, int | None]] = []
    raw = sample.fetch(dataset, month, folder, progress=lambda *call: calls.append(call))
    assert raw.path == folder / name
    assert raw.path.stat().st_size == raw.bytes
    assert calls == [(raw.bytes, raw.bytes)]
    assert raw.fingerprint.url == f"sample:{dataset}/{month:%Y-%m}"
    assert raw.fingerprint.etag
    assert [path.name for path in folder.iterdir()] == [name]
    again = sample.fetch(dataset, month, folder, [raw.fingerprint])
    assert (again.not_modified, again.path, again.fingerprint) == (True, None, raw.fingerprint)
    assert sample.probe(dataset, month).unchanged(raw.fingerprint)
    larger = SourceResource(templates="sample", sample=SampleFiles(), sample_rows=301).fetch(
        dataset, month, folder, [raw.fingerprint]
    )
    assert not larger.not_modified
    assert larger.sha256 != raw.sha256


def test_what_a_killed_sample_left_is_cleared(folder: Path) -> None:
    scratch = folder / "green_tripdata_2020-04.csv.gz.part.d"
    scratch.mkdir(parents=True)
    (scratch / ".half.part").write_bytes(b"x")
    SourceResource(templates="sample", sample=SampleFiles(), sample_rows=10).fetch("green", MONTH, folder)
    assert [path.name for path in folder.iterdir()] == ["green_tripdata_2020-04.csv.gz"]


def test_other_sources_are_no_sample() -> None:
    assert not SourceResource(templates="https://h/{month}.csv").is_sample
    assert SourceResource(templates="https://h/{month}.csv?k=1").describe() == "https://h/{month}.csv"


def test_a_source_without_a_sample_maker_reports_what_to_set(folder: Path) -> None:
    with pytest.raises(SettingsError, match="set TAXI_SOURCE"):
        SourceResource(templates="sample").fetch("green", MONTH, folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://h/{month}.csv?sig=a,b", ["https://h/{month}.csv?sig=a,b"]),
        (
            "https://h/{month}.csv?sig=a,b, file:///x/{month}.csv",
            ["https://h/{month}.csv?sig=a,b", "file:///x/{month}.csv"],
        ),
        ("http://a/{month}.csv,https://b/{month}.csv,", ["http://a/{month}.csv", "https://b/{month}.csv"]),
        ("sample", ["sample"]),
        ("https://h/{month}.csv , sample", ["https://h/{month}.csv", "sample"]),
        ("https://h/{month}.csv?k=1,sample2", ["https://h/{month}.csv?k=1,sample2"]),
        (" , ", []),
    ],
)
def test_a_comma_inside_a_signed_query_does_not_split_a_template(text: str, expected: list[str]) -> None:
    assert split_templates(text) == expected


@pytest.mark.parametrize(
    ("template", "url", "name"),
    [
        ("/{dataset}/{year}/{dataset}_{month}.csv", "/green/2020/green_2020-04.csv", "green_2020-04.csv"),
        ("/x_{year}{month_number}.csv.gz", "/x_202004.csv.gz", "x_202004_2020-04.csv.gz"),
        (
            "/resource/pkmi-4kfn.csv?$where=t>='{first_day}'%20AND%20t<'{next_first_day}'&$limit=9",
            "/resource/pkmi-4kfn.csv?$where=t>='2020-04-01'%20AND%20t<'2020-05-01'&$limit=9",
            "pkmi-4kfn_2020-04.csv",
        ),
        ("/{month}.csv?sig=a/b,c", "/2020-04.csv?sig=a/b,c", "2020-04.csv"),
    ],
)
def test_a_source_by_year_number_or_days(server: FileServer, folder: Path, template: str, url: str, name: str) -> None:
    month = date(2020, 4, 1)
    found = SourceResource(templates=server.url(template), attempts=1)
    assert found.urls("green", month) == [server.url(url)]
    server.put(url.partition("?")[0].lstrip("/"), gzip.compress(CSV) if ".gz" in url else CSV)
    raw = found.fetch("green", month, folder)
    assert (raw.file_name, raw.path) == (name, folder / name)
    assert found.probe("green", month).bytes == raw.bytes
    assert found.fetch("green", month, folder, [raw.fingerprint]).not_modified
