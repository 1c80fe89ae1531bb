"""One Dagster stack and one browser for all browser tests: what `taxi up` starts, on ports and data of its own."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from taxi_assets.local.ports import free_port
from taxi_assets.local.stack import Stack
from taxi_assets.sample.files import write_sample
from taxi_assets.settings import PORT_DEFAULTS, Settings
from taxi_assets_tests.support.waiting import HANG_SECONDS, wait_for

GOOD = [date(2020, month, 1) for month in (1, 2, 3, 4)]
# Its file holds the rows of the month before, so that nearly every one is rejected.
BAD = date(2020, 9, 1)
LINEAGE = "/locations/taxi_assets.definitions/asset-groups/green/lineage"


@dataclass(frozen=True)
class Ui:
    """The address of a running UI, and the environment of its stack."""

    address: str
    env: dict[str, str]

    def open(self, browser: Browser, path: str) -> Page:
        """Open a page of the UI."""
        page = browser.new_page(base_url=self.address, viewport={"width": 1500, "height": 800})
        page.set_default_timeout(HANG_SECONDS * 1000)
        page.goto(path)
        return page


@pytest.fixture(scope="package")
def ui(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """Run the stack, with made-up files of green in a folder as its source."""
    folder = tmp_path_factory.mktemp("browser")
    source = folder / "source"
    source.mkdir()
    for month in GOOD:
        write_sample("green", month, source, rows=1500, file_format="csv")
    other = write_sample("green", date(2020, 8, 1), source, rows=1500, file_format="csv")
    other.rename(source / f"green_tripdata_{BAD:%Y-%m}.csv")
    environ = {name: str(free_port()) for name in PORT_DEFAULTS}
    environ |= {"PATH": os.environ["PATH"], "TAXI_DATA_DIR": str(folder / "data")}
    environ["TAXI_SOURCE"] = f"file://{source}/{{dataset}}_tripdata_{{month}}.csv"
    settings = Settings.from_environment(environ)
    with Stack(settings, environ=environ).running() as stack:
        yield Ui(f"http://127.0.0.1:{settings.ui_port}", dict(stack.env))


@pytest.fixture(scope="package")
def loaded(ui: Ui, browser: Browser) -> Ui:
    """Return the UI after one month was launched in it and ended."""
    launch(ui.open(browser, LINEAGE), GOOD[-1].isoformat(), "Launch 1 run")
    wait_for_runs(ui, browser, 1)
    return ui


@pytest.fixture(scope="package")
def launched(loaded: Ui, browser: Browser) -> Ui:
    """Return the UI after a month, a bad month and a backfill of three were launched in it and ended."""
    launch(loaded.open(browser, LINEAGE), BAD.isoformat(), "Launch 1 run")
    launch(loaded.open(browser, LINEAGE), f"[{GOOD[0]}...{GOOD[2]}]", "Launch backfill")
    wait_for_runs(loaded, browser, len(GOOD) + 1)
    return loaded


def launch(page: Page, partitions: str, button: str) -> None:
    """Materialize the five assets of green through the launch dialog of the lineage."""
    expect(page.get_by_text("postgres_table").first).to_be_visible()
    page.get_by_text("Materialize all").first.click()
    dialog = page.get_by_role("dialog")
    # Without it the dialog offers the last 90 days.
    dialog.get_by_text("Show all partitions").click()
    field = dialog.locator("input[type=text]")
    field.fill(partitions)
    field.press("Enter")
    dialog.get_by_role("button", name=button).click()
    expect(dialog).to_be_hidden()
    page.close()


def wait_for_runs(ui: Ui, browser: Browser, number: int) -> None:
    """Wait until so many runs have ended, whether well or not."""
    with browser.new_context(base_url=ui.address) as context:

        def ended() -> bool:
            query = "{ runsOrError { ... on Runs { results { status } } } }"
            answer = context.request.post("/graphql", data={"query": query}).json()
            statuses = [run["status"] for run in answer["data"]["runsOrError"]["results"]]
            return sum(status in ("SUCCESS", "FAILURE") for status in statuses) == number

        wait_for(ended, f"the end of {number} runs", pause=1)


@pytest.fixture
def pictures() -> Path | None:
    """Return the folder that screenshots are put into, if they are asked for."""
    folder = os.environ.get("SCREENSHOTS")
    return Path(folder).absolute() if folder else None
