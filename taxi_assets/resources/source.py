"""Where raw files come from: URL templates tried in order, or the sample made on this machine.

The resource knows datasets and months; how one URL is fetched is `taxi_assets.download.fetch`'s business.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TypeVar

from dagster import ConfigurableResource
from pydantic import Field

from taxi_assets.download.fetch import ForbiddenError, RetrySettings, download, file_sha256, probe
from taxi_assets.download.file_check import check_file
from taxi_assets.download.fingerprint import Fingerprint, RawFile, file_name_of, redact
from taxi_assets.download.part_file import discard_part, open_part
from taxi_assets.errors import (
    BadFileError,
    NotPublishedError,
    SettingsError,
    SourceError,
    SourceUnavailableError,
    TaxiError,
)
from taxi_assets.months import month_text

SAMPLE = "sample"
SAMPLE_SOURCE = "sample made on this machine (not TLC data)"
T = TypeVar("T")
# The first of these that any template met is the answer when none delivered: what may pass comes first.
_RANKS: tuple[type[TaxiError], ...] = (SourceUnavailableError, BadFileError, SourceError, NotPublishedError)


class SourceResource(ConfigurableResource):  # type: ignore[type-arg]
    """The source of raw files, TAXI_SOURCE.

    `templates` may hold a password or a signed query: pass it as `EnvVar`, so that the UI shows only the
    variable's name. Everything that this resource says of an address is redacted.
    """

    templates: str = Field(repr=False, description="`sample`, or comma-separated URL templates")
    zones: str = Field(default=SAMPLE, repr=False, description="`sample`, or the URL of the zone lookup")
    sample_rows: int | None = Field(default=None, description="rows of a sample month; its own default if unset")
    allow_private: bool = Field(default=True, description="whether addresses of private networks may be asked")
    timeout_seconds: float = Field(default=30.0, gt=0, description="to connect, and between bytes")
    attempts: int = Field(default=4, ge=1, description="for each template")
    backoff_seconds: float = Field(default=1.0, ge=0, description="before the second attempt; doubles, with jitter")
    lock_seconds: float = Field(default=1800.0, ge=0, description="wait for another process that fetches the same file")

    @property
    def is_sample(self) -> bool:
        """Whether months are made on this machine instead of fetched."""
        return self.templates.strip() == SAMPLE

    def describe(self, dataset: str | None = None, month: date | None = None) -> str:
        """The source in words, safe to show: of one month, of a dataset, or in general."""
        if self.is_sample:
            return SAMPLE_SOURCE
        return ", ".join(redact(_fill(template, dataset, month)) for template in self._templates())

    def urls(self, dataset: str, month: date) -> list[str]:
        """The month's URLs in the order in which they are tried; they may hold secrets.

        Raises:
            SettingsError: a template does not give the URL of a raw file.
        """
        urls = [_fill(template, dataset, month) for template in self._templates()]
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
        progress: Callable[[int, int | None], None] | None = None,
    ) -> RawFile:
        """The month's raw file, put into the folder under its published name unless a `known` fingerprint holds.

        Templates are tried in order until one delivers. When none does, the error of the one that may still
        deliver wins: unavailable, then a bad file, then refused, then not published.

        Raises:
            NotPublishedError: no source has the month.
            SourceError: one refuses (403 and other lasting answers) and none has it.
            SourceUnavailableError: one is down and none has it; what arrived is kept to resume.
            BadFileError: one delivers something else than its file name says, and none delivers.
            DiskFullError: no space is left.
            SettingsError: a template does not give the URL of a raw file, or the folder cannot be written.
        """
        if self.is_sample:
            return self._make_sample(dataset, month, folder, known, progress)
        urls = self.urls(dataset, month)
        raw = self._first(dataset, month, lambda url: self._download(url, folder, known, progress))
        for name in {file_name_of(url) for url in urls} - {raw.file_name}:
            discard_part(folder, name)
        return raw

    def fetch_zones(self, folder: Path) -> RawFile:
        """The zone lookup, put into the folder under its published name.

        Raises:
            As `fetch`.
        """
        if self.zones == SAMPLE:
            from taxi_assets.sample.zones import write_zone_lookup

            folder.mkdir(parents=True, exist_ok=True)
            path = write_zone_lookup(folder)
            digest, size = file_sha256(path), path.stat().st_size
            return RawFile(path, path.name, Fingerprint(f"{SAMPLE}:zones", digest), digest, size, False)
        return self._download(self.zones, folder)

    def probe(self, dataset: str, month: date, retry: RetrySettings | None = None) -> Fingerprint:
        """What the first source that has the month says the file is, without reading it; for sensors.

        `retry` replaces this resource's own, for who has no time to wait.

        Raises:
            NotPublishedError, SourceError, SourceUnavailableError, SettingsError: as `fetch`.
        """
        if self.is_sample:
            return self._sample_fingerprint(dataset, month)
        return self._first(dataset, month, lambda url: probe(url, retry or self._patience(), self.allow_private))

    def _templates(self) -> list[str]:
        return [template.strip() for template in self.templates.split(",") if template.strip()]

    def _patience(self) -> RetrySettings:
        return RetrySettings(self.timeout_seconds, self.attempts, self.backoff_seconds, self.lock_seconds)

    def _download(
        self,
        url: str,
        folder: Path,
        known: Sequence[Fingerprint] = (),
        progress: Callable[[int, int | None], None] | None = None,
    ) -> RawFile:
        return download(url, folder, known, self._patience(), progress, self.allow_private)

    def _first(self, dataset: str, month: date, ask: Callable[[str], T]) -> T:
        urls = self.urls(dataset, month)
        failures: list[TaxiError] = []
        for url in urls:
            try:
                return ask(url)
            except _RANKS as failure:
                failures.append(failure)
        raise _verdict(f"{dataset} {month_text(month)}", urls, failures)

    def _rows(self, dataset: str, month: date) -> int:
        from taxi_assets.sample import files as sample

        return self.sample_rows or sample.default_rows(dataset, month)

    def _sample_fingerprint(self, dataset: str, month: date) -> Fingerprint:
        from taxi_assets.sample import files as sample

        etag = sample.sample_fingerprint(
            dataset, month, self._rows(dataset, month), sample.published_format(dataset, month)
        )
        return Fingerprint(f"{SAMPLE}:{dataset}/{month_text(month)}", etag)

    def _make_sample(
        self,
        dataset: str,
        month: date,
        folder: Path,
        known: Sequence[Fingerprint],
        progress: Callable[[int, int | None], None] | None,
    ) -> RawFile:
        from taxi_assets.sample import files as sample

        fingerprint = self._sample_fingerprint(dataset, month)
        name = sample.sample_file_name(dataset, month)
        for candidate in known:
            if candidate.unchanged(fingerprint):
                return RawFile(None, name, candidate, "", candidate.bytes or 0, True)
        with open_part(folder, name, self.lock_seconds):
            # The lock makes this folder ours, and what a killed process left in it is rubbish.
            scratch = folder / f"{name}.part.d"
            shutil.rmtree(scratch, ignore_errors=True)
            try:
                made = sample.write_sample(dataset, month, scratch, rows=self._rows(dataset, month))
                check_file(made, name)
                digest, size = file_sha256(made), made.stat().st_size
                os.replace(made, folder / name)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        if progress:
            progress(size, size)
        return RawFile(folder / name, name, replace(fingerprint, bytes=size), digest, size, False)


def _fill(template: str, dataset: str | None, month: date | None) -> str:
    filled = template if dataset is None else template.replace("{dataset}", dataset)
    return filled if month is None else filled.replace("{month}", month_text(month))


def _verdict(what: str, urls: Sequence[str], failures: Sequence[TaxiError]) -> TaxiError:
    """The one error that stands for all templates' errors; its text is made of redacted parts only."""
    kind = next(kind for kind in _RANKS if any(isinstance(failure, kind) for failure in failures))
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
