"""Provide raw files: from URL templates that are tried in order, or as samples made on this machine.

The resource handles datasets and months; `taxi_assets.download.fetch` fetches one URL.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Protocol, TypeVar

import dagster as dg
from pydantic import Field

from taxi_assets.download.fetch import Progress, download, file_sha256, probe
from taxi_assets.download.file_check import check_file
from taxi_assets.download.fingerprint import Fingerprint, RawFile, file_name_of, redact
from taxi_assets.download.http import ForbiddenError
from taxi_assets.download.part_file import discard_part, open_part
from taxi_assets.download.retries import RetrySettings
from taxi_assets.errors import (
    BadFileError,
    NotPublishedError,
    SettingsError,
    SourceError,
    SourceUnavailableError,
    TaxiError,
)
from taxi_assets.months import month_text, next_month
from taxi_assets.settings import split_templates

SAMPLE = "sample"
SAMPLE_SOURCE = "sample made on this machine (not TLC data)"
T = TypeVar("T")
# If no template delivers, the first of these that was raised is the result: errors that may pass come first.
_PRECEDENCE: tuple[type[TaxiError], ...] = (SourceUnavailableError, BadFileError, SourceError, NotPublishedError)


class SampleMaker(Protocol):
    """Makes sample files in TLC's format; `rows` is None for the default number."""

    def file_name(self, dataset: str, month: date) -> str:
        """Return the published name of a month's file."""

    def fingerprint(self, dataset: str, month: date, rows: int | None) -> str:
        """Return a token that changes whenever the file's bytes would change."""

    def write(self, dataset: str, month: date, folder: Path, rows: int | None) -> Path:
        """Write a month's file into the folder and return its path."""

    def write_zones(self, folder: Path) -> Path:
        """Write the zone lookup into the folder and return its path."""

    def write_zone_shapes(self, folder: Path) -> Path:
        """Write the zones' packed shapefile into the folder and return its path."""


class SourceResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The source of raw files, TAXI_SOURCE.

    `templates` may hold a password or a signed query: pass it as `EnvVar`, so that the UI shows only the variable's
    name. Every address that this resource shows is redacted.
    """

    templates: str = Field(repr=False, description="`sample`, or comma-separated URL templates")
    zones: str = Field(default=SAMPLE, repr=False, description="`sample`, or the URL of the zone lookup")
    zone_shapes: str = Field(default=SAMPLE, repr=False, description="`sample`, or the URL of the zones' shapes")
    sample_rows: int | None = Field(default=None, description="rows of a sample month; its own default if unset")
    allow_private: bool = Field(default=True, description="whether addresses of private networks are allowed")
    timeout_seconds: float = Field(default=30.0, gt=0, description="to connect, and between bytes")
    attempts: int = Field(default=4, ge=1, description="for each template")
    backoff_seconds: float = Field(default=1.0, ge=0, description="before the second attempt; doubles, with jitter")
    lock_seconds: float = Field(default=1800.0, ge=0, description="wait for another process that fetches the same file")
    # Dagster's annotation lacks the None that it accepts.
    sample: dg.ResourceDependency[SampleMaker | None] = Field(default=None, repr=False)  # type: ignore[arg-type]

    @property
    def is_sample(self) -> bool:
        """Return whether months are made on this machine instead of fetched."""
        return self.templates.strip() == SAMPLE

    def describe(self, dataset: str | None = None, month: date | None = None) -> str:
        """Describe the source without secrets: of one month, of a dataset, or in general."""
        if self.is_sample:
            return SAMPLE_SOURCE
        return ", ".join(redact(_fill(template, dataset, month)) for template in split_templates(self.templates))

    def urls(self, dataset: str, month: date) -> list[str]:
        """Return the month's URLs in the order in which they are tried. They may hold secrets.

        A template may hold {dataset}, {month} (`2020-04`), {year}, {month_number} (`04`), {first_day} (`2020-04-01`)
        and {next_first_day}.

        Raises:
            SettingsError: A template does not give the URL of a raw file.
        """
        urls = [_fill(template, dataset, month) for template in split_templates(self.templates)]
        if not urls:
            raise SettingsError("TAXI_SOURCE holds no template; set it to `sample` or to a URL with {month}.")
        for url in urls:
            file_name_of(url)
        return urls

    def fetch(
        self,
        dataset: str,
        month: date,
        folder: Path,
        known: Sequence[Fingerprint] = (),
        progress: Progress | None = None,
    ) -> RawFile:
        """Put the month's raw file into the folder under its published name, unless a `known` fingerprint holds.

        Templates are tried in order until one delivers. If none does, the error that is most likely to pass is
        raised: unavailable, then a bad file, then an access error, then not published.

        Raises:
            NotPublishedError: No source has the month.
            SourceError: One denies access (403 and other permanent responses) and none has it.
            SourceUnavailableError: One is down and none has it. The bytes received are kept to resume.
            BadFileError: One sends something else than its file name claims, and none delivers.
            DiskFullError: The disk is full.
            SettingsError: A template does not give the URL of a raw file, or the folder cannot be written.
        """
        if self.is_sample:
            return self._make_sample(dataset, month, folder, known, progress)
        urls = self.urls(dataset, month)
        raw = self._try_each(dataset, month, lambda url: self._download(url, folder, known, progress, month))
        for name in {_name(url, month) for url in urls} - {raw.file_name}:
            discard_part(folder, name)
        return raw

    def fetch_zones(self, folder: Path) -> RawFile:
        """Put the zone lookup into the folder under its published name. Raise the same errors as `fetch`."""
        if self.zones == SAMPLE:
            return _made(self._maker().write_zones, "zones", folder)
        return self._download(self.zones, folder)

    def fetch_zone_shapes(self, folder: Path) -> RawFile:
        """Put the zones' packed shapefile into the folder as `taxi_zones.zip`. Raise the same errors as `fetch`."""
        if self.zone_shapes == SAMPLE:
            return _made(self._maker().write_zone_shapes, "zone_shapes", folder)
        # Open-data portals have addresses without a file's name.
        return download(
            self.zone_shapes, folder, (), self._retry_settings(), None, self.allow_private, "taxi_zones.zip"
        )

    def probe(self, dataset: str, month: date, retry: RetrySettings | None = None) -> Fingerprint:
        """Return the fingerprint of the first source that has the month, without reading the file.

        Args:
            dataset: The dataset's name.
            month: The month's first day.
            retry: Replaces the resource's own settings, for a sensor that must not wait.

        Raises:
            NotPublishedError: As `fetch`, like the errors below.
            SourceError: One denies access and none has it.
            SourceUnavailableError: One is down and none has it.
            SettingsError: A template does not give the URL of a raw file.
        """
        if self.is_sample:
            return self._sample_fingerprint(dataset, month)
        settings = retry or self._retry_settings()
        return self._try_each(dataset, month, lambda url: probe(url, settings, self.allow_private))

    def _retry_settings(self) -> RetrySettings:
        return RetrySettings(self.timeout_seconds, self.attempts, self.backoff_seconds, self.lock_seconds)

    def _download(
        self,
        url: str,
        folder: Path,
        known: Sequence[Fingerprint] = (),
        progress: Progress | None = None,
        month: date | None = None,
    ) -> RawFile:
        name = _name(url, month) if month else None
        return download(url, folder, known, self._retry_settings(), progress, self.allow_private, name)

    def _try_each(self, dataset: str, month: date, attempt: Callable[[str], T]) -> T:
        urls = self.urls(dataset, month)
        failures: list[TaxiError] = []
        for url in urls:
            try:
                return attempt(url)
            except _PRECEDENCE as failure:
                failures.append(failure)
        raise _combined_error(f"{dataset} {month_text(month)}", urls, failures)

    def _maker(self) -> SampleMaker:
        if self.sample is None:
            raise SettingsError(
                "This source makes no samples; set TAXI_SOURCE, TAXI_ZONES_SOURCE and TAXI_ZONE_SHAPES_SOURCE to URLs."
            )
        return self.sample

    def _sample_fingerprint(self, dataset: str, month: date) -> Fingerprint:
        etag = self._maker().fingerprint(dataset, month, self.sample_rows)
        return Fingerprint(f"{SAMPLE}:{dataset}/{month_text(month)}", etag)

    def _make_sample(
        self, dataset: str, month: date, folder: Path, known: Sequence[Fingerprint], progress: Progress | None
    ) -> RawFile:
        fingerprint = self._sample_fingerprint(dataset, month)
        name = self._maker().file_name(dataset, month)
        for candidate in known:
            if candidate.unchanged(fingerprint):
                return RawFile(None, name, candidate, "", candidate.bytes or 0, True)
        with open_part(folder, name, self.lock_seconds):
            # Under the lock no other process uses this folder; a killed one may have left files in it.
            scratch = folder / f"{name}.part.d"
            shutil.rmtree(scratch, ignore_errors=True)
            try:
                made = self._maker().write(dataset, month, scratch, self.sample_rows)
                check_file(made, name)
                digest, size = file_sha256(made), made.stat().st_size
                made.replace(folder / name)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        if progress:
            progress(size, size)
        return RawFile(folder / name, name, replace(fingerprint, bytes=size), digest, size, False)


def _made(write: Callable[[Path], Path], name: str, folder: Path) -> RawFile:
    """Return what the sample maker wrote into the folder as a fetched file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = write(folder)
    digest, size = file_sha256(path), path.stat().st_size
    return RawFile(path, path.name, Fingerprint(f"{SAMPLE}:{name}", digest), digest, size, False)


def _fill(template: str, dataset: str | None, month: date | None) -> str:
    values = {} if dataset is None else {"dataset": dataset}
    if month is not None:
        values |= {"month": month_text(month), "year": f"{month:%Y}", "month_number": f"{month:%m}"}
        values |= {"first_day": month.isoformat(), "next_first_day": next_month(month).isoformat()}
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def _name(url: str, month: date) -> str:
    """Return the name that the month's file gets: the URL's, with the month if that has none."""
    name = file_name_of(url)
    if month_text(month) in name:
        return name
    stem, dot, ending = name.partition(".")
    return f"{stem}_{month_text(month)}{dot}{ending}"


def _combined_error(what: str, urls: Sequence[str], failures: Sequence[TaxiError]) -> TaxiError:
    """Return the one error that stands for those of all templates. Its text holds only redacted addresses."""
    kind = next(kind for kind in _PRECEDENCE if any(isinstance(failure, kind) for failure in failures))
    first = next(failure for failure in failures if isinstance(failure, kind))
    shown = [redact(url) for url in urls]
    if kind is NotPublishedError:
        how = "no such file" if all(url.startswith("file:") for url in urls) else "HTTP 404"
        where = "at any of " + str(len(urls)) + " sources" if len(urls) > 1 else "at its source"
        return NotPublishedError(
            f"{what} is not published {where} ({how} from {', '.join(shown)}); TLC publishes about two months late."
        )
    others = f" None of {len(urls)} sources delivered {what}." if len(urls) > 1 else f" {what} was not fetched."
    kind = ForbiddenError if isinstance(first, ForbiddenError) else kind
    return kind(f"{first}{others}")
