"""The command `taxi report`: the pages of all that is loaded, into the bucket or a folder."""

import os
import time
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taxi_assets.errors import ServiceError, SettingsError, TaxiError

if TYPE_CHECKING:
    from taxi_assets.defs.assets.reports import MonthReport
    from taxi_assets.marts.marts import Marts
    from taxi_assets.resources.lake import LakeResource
    from taxi_assets.settings import Settings

Log = Callable[[str], None]


@click.command()
@click.option("--open", "is_opened", is_flag=True, help="Show the page of all history in the browser.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the site to this folder instead of the bucket.",
)
def report(is_opened: bool, out: Path | None) -> None:
    """Draw all that is loaded: a page a month, and one of all history that links them.

    Into the bucket, under reports/, or with --out into a folder. Marts and zones that are missing are made first. Pages
    that the bucket has already are not drawn again. The pages load nothing: open them as files, or publish them.
    """
    from taxi_assets.cli.materialize import require_services
    from taxi_assets.settings import Settings

    settings = Settings.from_environment()
    require_services(settings)
    address = write_site(settings, out, click.echo)
    if is_opened and not webbrowser.open(address.as_uri()):
        raise ServiceError(f"No browser was found; open {address} in yours.")


def write_site(settings: "Settings", out: Path | None, log: Log) -> Path:
    """Write all pages, the overview last, and return the overview's path on this machine.

    Raises:
        SettingsError: The folder is a file.
        ServiceError: A service does not answer, or a package is missing.
    """
    from taxi_assets.defs.build import lake_and_warehouses
    from taxi_assets.local.environment import environment

    if out is not None and out.exists() and not out.is_dir():
        raise SettingsError(f"{out} is a file; name a folder.")
    os.environ.update(environment(settings))
    with lake_and_warehouses(settings) as resources:
        publish_missing_zones(settings, resources, log)
        from taxi_assets.defs.assets.reports import postgres_marts

        lake: LakeResource = resources["lake"]
        marts = postgres_marts(lake, resources["postgres"])
        months = _make_marts(lake, marts, log)
        return write_pages(lake, marts, months, out, log)


def publish_missing_zones(settings: "Settings", resources: Mapping[str, Any], log: Log) -> None:
    """Publish the zones if they are not there; without them there are only no maps, and no zones before 2016-07."""
    from taxi_assets.contract.object_names import ZONE_PIECES_OBJECT
    from taxi_assets.defs.assets.zones import publish_zones
    from taxi_assets.defs.build import build_resources
    from taxi_assets.resources.warehouse import WAREHOUSES

    if resources["lake"].find(ZONE_PIECES_OBJECT) is not None:
        return
    source: AbstractContextManager[Any] = build_resources(settings)["source"].process_config_and_initialize_cm()
    try:
        with source as fetching:
            publish_zones(fetching, resources["lake"], [resources[name] for name in WAREHOUSES])
        log("zones            ✓ published, for the maps")
    except TaxiError as error:
        log(f"zones            ✗ {error} The pages will have no maps.")


def _make_marts(lake: "LakeResource", marts: "Marts", log: Log) -> dict[str, list[date]]:
    """Make the marts of loaded months that have none, and return the months that have marts."""
    from taxi_assets.contract.datasets import DATASETS
    from taxi_assets.defs.assets.marts import manifests_of
    from taxi_assets.marts.marts import MONTHS_AT_ONCE
    from taxi_assets.months import month_text

    found: dict[str, list[date]] = {}
    for dataset in DATASETS.values():
        loaded = sorted(marts.warehouse.month_rows(dataset))
        held = set(marts.month_sums(dataset) or {})
        missing = [month for month in loaded if month not in held]
        for start in range(0, len(missing), MONTHS_AT_ONCE):
            chunk = missing[start : start + MONTHS_AT_ONCE]
            began = time.monotonic()
            marts.make_months(dataset, chunk, manifests_of(lake, dataset, chunk))
            span = " to ".join(dict.fromkeys((month_text(chunk[0]), month_text(chunk[-1]))))
            log(f"{dataset.name:<6} {span}  marts ✓ {time.monotonic() - began:.1f} s")
        found[dataset.name] = sorted({*loaded, *held})
    if not marts.has("dim_zone"):
        marts.make_views()
    return found


def write_pages(
    lake: "LakeResource", marts: "Marts", months: dict[str, list[date]], out: Path | None, log: Log
) -> Path:
    """Write the pages of the months, with a line each, and the overview; return the overview's path."""
    from taxi_assets.contract.datasets import DATASETS
    from taxi_assets.contract.object_names import OVERVIEW_OBJECT
    from taxi_assets.defs.assets.reports import MonthReport, Overview

    for name, of_dataset in months.items():
        for month in of_dataset:
            began = time.monotonic()
            page = MonthReport.read(lake, marts, DATASETS[name], month)
            state = _write_month(lake, page, out)
            log(f"{name:<6} {month:%Y-%m}  page {state} {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    if out is None:
        stored, _ = Overview.read(lake, marts).publish(lake)
        path, address = lake.local_path(OVERVIEW_OBJECT), f"{stored.uri}\n"
    else:
        path, address = _write_overview(Overview.read(lake, marts, months), out), ""
    log(f"overview of {sum(map(len, months.values())):,} months ✓ {time.monotonic() - began:.1f} s")
    log(f"\n{address}{path.absolute().as_uri()}")
    return path.absolute()


def _write_month(lake: "LakeResource", page: "MonthReport", out: Path | None) -> str:
    """Write a month's page unless the bucket has it; return a mark for the progress."""
    from taxi_assets.contract.object_names import REPORTS_PREFIX

    is_there = page.published(lake)
    if out is None:
        if is_there:
            # The cache, too, has the whole site then.
            lake.fetch(page.name)
            return "= unchanged"
        page.publish(lake)
        return "✓"
    content = lake.fetch(page.name).read_bytes() if is_there else page.page.html().encode()
    _put(out / page.name.removeprefix(REPORTS_PREFIX), content)
    return "✓"


def _write_overview(overview: Any, out: Path) -> Path:
    """Write the pictures, then the page."""
    addresses = {}
    for name, (address, content) in overview.parts().items():
        _put(out / address, content)
        addresses[name] = address
    path = out / "index.html"
    _put(path, overview.page.html(addresses).encode())
    return path


def _put(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
