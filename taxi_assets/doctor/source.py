"""Checks of the source: names, a proxy, one month."""

import socket
from contextlib import suppress
from datetime import date
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.doctor.check import Check, Result, ok
from taxi_assets.download.retries import RetrySettings
from taxi_assets.errors import NotPublishedError
from taxi_assets.months import month_text
from taxi_assets.resources.source import SourceResource

# Of all datasets, and published by every mirror there is.
MONTH = date(2020, 4, 1)


def checks(resources: dict[str, Any]) -> list[Check]:
    """Return the checks of the source."""
    return [Check("source", lambda: source(resources["source"]))]


def source(found: SourceResource) -> list[Result]:
    """Resolve the hosts, then request the headers of one month, of whichever dataset the source has."""
    if found.is_sample:
        return ok(f"{found.describe()}.")
    results = []
    for url in found.urls("green", MONTH):
        results += _host(url)
    for dataset in DATASETS:
        with suppress(NotPublishedError):
            found.probe(dataset, MONTH, RetrySettings(5.0, 1, 0.0, 0.0))
            return [*results, *ok(f"{found.describe()}: it has {dataset} {month_text(MONTH)}.")]
    text = f"{found.describe()}: it answers, but has {month_text(MONTH)} of no dataset."
    return [*results, Result("warning", f"{text} Look at TAXI_SOURCE if it should.")]


def _host(url: str) -> list[Result]:
    parts = urlsplit(url)
    if parts.hostname is None:
        return []
    proxy = None if proxy_bypass(parts.hostname) else getproxies().get(parts.scheme)
    if proxy:
        return ok(f"{parts.hostname} is asked through the proxy {urlsplit(proxy).hostname}.")
    try:
        socket.getaddrinfo(parts.hostname, parts.port or parts.scheme)
    except OSError as error:
        text = f"The name {parts.hostname} has no address ({error}); check TAXI_SOURCE, the network and its DNS."
        return [Result("failed", text)]
    return []
