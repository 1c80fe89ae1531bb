"""Debian's Chromium, driven by Playwright, for the tests that look at the UI as a person does."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from taxi_assets_tests.support.waiting import HANG_SECONDS

expect.set_options(timeout=HANG_SECONDS * 1000)
# As root there is no sandbox; without the rest it looks for Google's hosts at each start.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a headless browser, or skip where Debian's package is not installed."""
    path = shutil.which("chromium")
    if not path:
        pytest.skip("Debian's package chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
