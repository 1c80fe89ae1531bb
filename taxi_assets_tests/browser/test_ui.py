"""What a person does in Dagster's UI, in a real browser: look at the lineage, materialize, backfill, read a check.

`SCREENSHOTS=docs/images .venv/bin/python -m pytest taxi_assets_tests/browser` makes the pictures of the docs anew.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, Page, expect

from taxi_assets.marts.catalog import catalog
from taxi_assets.settings import PROJECT_ROOT
from taxi_assets_tests.browser.conftest import BAD, GOOD, LINEAGE, Ui, wait_for_runs
from taxi_assets_tests.support.graphql import graphql
from taxi_assets_tests.support.waiting import HANG_SECONDS

PUBLISHED = "green_file"
ASSETS = ("raw_file", "clean_parquet", "gcs_object", "bigquery_table", "postgres_table")


def picture(page: Page, pictures: Path | None, name: str) -> None:
    """Keep what the page shows, when pictures are asked for."""
    if pictures:
        # Fades and late icons; nothing is expected of it.
        page.wait_for_timeout(1500)
        page.screenshot(path=pictures / f"{name}.png")


def taxi(ui: Ui, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command, as somebody runs it beside the UI."""
    env = {**os.environ, **ui.env, "PYTHONPATH": str(PROJECT_ROOT)}
    command = [sys.executable, "-m", "taxi_assets.cli.main", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=HANG_SECONDS)


def status(ui: Ui) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(taxi(ui, "status", "--json").stdout)["datasets"]["green"]
    return found


def test_the_lineage_shows_the_published_file_and_the_five_assets_in_order(
    loaded: Ui, browser: Browser, pictures: Path | None
):
    page = loaded.open(browser, LINEAGE)
    places = {}
    for name in (PUBLISHED, *ASSETS):
        node = page.get_by_text(name, exact=True).first
        expect(node).to_be_visible()
        places[name] = node.bounding_box() or {}
    assert places[PUBLISHED]["x"] < places[ASSETS[0]]["x"]
    lefts = [places[name]["x"] for name in ASSETS]
    # From left to right; the two warehouses are in one column.
    assert lefts[0] < lefts[1] < lefts[2] < lefts[3] == lefts[4]
    assert places["bigquery_table"]["y"] != places["postgres_table"]["y"]
    picture(page, pictures, "lineage")
    page.close()


def test_a_month_that_was_launched_turns_green(launched: Ui, browser: Browser, pictures: Path | None):
    month = GOOD[-1]
    page = launched.open(browser, f"/assets/green/postgres_table?view=partitions&partition={month}")
    expect(page.get_by_text("Materialized", exact=True)).to_be_visible()
    row = page.locator("tr").filter(has_text="dagster/partition_row_count")
    rows = re.search(r"\d+", row.inner_text())
    assert rows is not None
    verified = taxi(launched, "verify", "green", f"{month:%Y-%m}", "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["datasets"][0]["rows"] == int(rows[0]) > 1400
    page.goto(f"/assets/green/clean_parquet?view=partitions&partition={month}")
    expect(page.get_by_text("rejected_by_reason")).to_be_visible()
    picture(page, pictures, "partition")
    page.close()


def test_a_backfill_of_three_months_finishes(launched: Ui, browser: Browser, pictures: Path | None):
    first, last = GOOD[0], GOOD[2]
    page = launched.open(browser, "/runs?view=backfills")
    row = page.locator("[class*=RunsFeedRow]").filter(has_text="3 partitions").first
    expect(row.get_by_text("Success")).to_be_visible()
    picture(page, pictures, "backfill")
    page.close()
    assert taxi(launched, "verify", "green", f"{first:%Y-%m}..{last:%Y-%m}").stdout.startswith(
        "✓ green: 3 months with "
    )
    assert status(launched)["loaded"] >= 3


BACKFILL = """
mutation Backfill($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
RUNS = """
query Runs($id: String!) {
  runsOrError(filter: {tags: [{key: "dagster/backfill", value: $id}]}) { ... on Runs { results { status } } }
}
"""
# The way of green alone; the answer has as many of the other datasets.
WAY = 'key:"tlc/green_file"+ and +key:"marts/postgres/payment_mix_month"'
GROUPS = ",".join(f"global@global:{name}" for name in ("tlc", "green", "marts"))


def test_marts_of_three_months_are_one_run_and_their_lineage_begins_at_tlcs_file(
    launched: Ui, browser: Browser, pictures: Path | None
):
    keys = [{"path": ["marts", "postgres", "green", model.name]} for model in catalog().facts]
    port = int(launched.address.rpartition(":")[2])
    parameters = {"assetSelection": keys, "partitionNames": [month.isoformat() for month in GOOD[:3]]}
    launch = graphql(port, BACKFILL, {"parameters": parameters})["launchPartitionBackfill"]
    wait_for_runs(launched, browser, len(GOOD) + 2)
    runs = graphql(port, RUNS, {"id": launch["backfillId"]})["runsOrError"]["results"]
    assert runs == [{"status": "SUCCESS"}]
    page = launched.open(browser, f"/asset-groups~{quote(WAY, safe='')}/?expanded={quote(GROUPS)}")
    page.set_viewport_size({"width": 2300, "height": 420})
    page.reload()
    places = []
    for name in (PUBLISHED, "raw_file", "clean_parquet", "postgres_table", "fct_payment_month", "payment_mix_month"):
        node = page.get_by_text(name, exact=True).first
        expect(node).to_be_visible()
        places.append((node.bounding_box() or {})["x"])
    assert places == sorted(places)
    picture(page, pictures, "lineage-answer")
    page.close()


def test_a_failed_check_is_named(launched: Ui, browser: Browser, pictures: Path | None):
    page = launched.open(browser, "/runs")
    row = page.locator("[class*=RunsFeedRow]").filter(has_text=f"partition: {BAD}").first
    expect(row.get_by_text("Failure")).to_be_visible()
    page.goto("/assets/green/clean_parquet?view=checks&checkDetail=rejected_share_is_usual")
    page.get_by_text("Execution history").click()
    expect(page.get_by_text(BAD.isoformat()).first).to_be_visible()
    expect(page.get_by_text("of the rows were rejected").first).to_be_visible()
    picture(page, pictures, "check")
    page.close()
    line = status(launched)
    assert line["failed"] == [f"{BAD:%Y-%m}"]
    assert f"{BAD:%Y-%m}" in line["missing"]
