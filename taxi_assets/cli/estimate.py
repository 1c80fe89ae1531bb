"""The command `taxi estimate`: how long a trip will take.

It imports neither Dagster nor scikit-learn: each takes longer than an answer may.
"""

import json
import os
from collections.abc import Callable
from datetime import date, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from taxi_assets.errors import ServiceError, SettingsError
from taxi_assets.months import month_text

if TYPE_CHECKING:
    from taxi_assets.models.places import Zone

Reader = Callable[[str], bytes | None]


@click.command()
@click.option("--from", "start", required=True, help="Pickup zone: its name, a part of it, or its number.")
@click.option("--to", "end", required=True, help="Dropoff zone.")
@click.option("--at", "when", required=True, help="Local time of the pickup, as '2024-01-15 17:30'.")
@click.option("--dataset", default="yellow", show_default=True, help="yellow, green, fhv or fhvhv.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def estimate(start: str, end: str, when: str, dataset: str, as_json: bool) -> None:
    """Estimate the minutes of a trip, with a span that four of five trips fall in.

    The model of the trip's month is used, or the newest before it, or else the oldest.
    """
    from taxi_assets.contract.datasets import dataset as dataset_named

    name, at = dataset_named(dataset).name, parse_time(when)
    zones = [find_zone(text) for text in (start, end)]
    months, read = _lake(name)
    found = answer_from(name, zones[0], zones[1], at, months, read)
    click.echo(json.dumps(found, indent=2) if as_json else as_text(found))


def parse_time(text: str) -> datetime:
    """Return the time of a text as `2024-01-15 17:30`.

    Raises:
        SettingsError: It is no time, or one with a time zone.
    """
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        at = None
    if at is None or at.tzinfo is not None or len(text.strip()) <= len("2024-01-15"):
        raise SettingsError(f"{text!r} is no local time; write it as '2024-01-15 17:30'.")
    return at


def find_zone(text: str) -> "Zone":
    """Return the zone of that number or name; a part of a name is completed, and a misspelt name corrected.

    Raises:
        SettingsError: No zone is like it, or several are.
    """
    from taxi_assets.models.places import known_zones

    zones = known_zones()
    wanted = " ".join(text.casefold().split())
    if wanted.isdecimal():
        if int(wanted) in zones:
            return zones[int(wanted)]
        raise SettingsError(f"{wanted} is no zone with a place; those are 1 to {max(zones)}.")
    # A name that several zones have stands for the first of them.
    by_name: dict[str, Zone] = {}
    for zone in zones.values():
        by_name.setdefault(zone.name.casefold(), zone)
    if wanted in by_name:
        return by_name[wanted]
    parts = [name for name in by_name if wanted and wanted in name]
    begun = [name for name in parts if name.startswith(wanted)]
    names = (begun if len(begun) == 1 else parts) or get_close_matches(wanted, by_name, n=3, cutoff=0.6)[:1]
    if len(names) == 1:
        return by_name[names[0]]
    if names:
        some = ", ".join(by_name[name].name for name in names[:8])
        raise SettingsError(f"{text!r} is a part of {len(names)} zones' names: {some}; write more of it.")
    raise SettingsError(f"{text!r} is no taxi zone's name; write one as in the table `zones`, or its number.")


def answer_from(
    dataset: str, start: "Zone", end: "Zone", at: datetime, months: list[date], read: Reader
) -> dict[str, Any]:
    """Return the estimate by the model of the trip's month, or the newest before it, or else the oldest.

    Raises:
        ServiceError: There is no model, or it is refused.
    """
    import numpy as np

    from taxi_assets.models import store
    from taxi_assets.models.card import mae_at
    from taxi_assets.models.fit import answer
    from taxi_assets.models.places import known_places
    from taxi_assets.models.skops_file import by_numpy
    from taxi_assets.models.trips import Questions

    if not months:
        raise ServiceError(
            f"The lake holds no duration model of {dataset}; materialize {dataset}/duration_model first."
        )
    trip_month = at.date().replace(day=1)
    month = max((m for m in months if m <= trip_month), default=months[0])
    card, fitted, tuning = store.load(dataset, month, read, by_numpy)
    asked = Questions(np.array([start.id]), np.array([end.id]), np.array([at], "datetime64[s]"))
    minutes, low, high = (round(float(values[0]), 1) for values in answer(fitted, tuning, asked, known_places()))
    mae = mae_at(card, trip_month)
    return {
        "dataset": dataset,
        "from": {"location_id": start.id, "zone": start.name, "borough": start.borough},
        "to": {"location_id": end.id, "zone": end.name, "borough": end.borough},
        "at": at.isoformat(sep=" ", timespec="minutes"),
        "minutes": minutes,
        "p10": low,
        "p90": high,
        "model_month": month_text(month),
        "fitted_on": card["fitted_on"],
        "mae": None if mae is None else round(mae, 2),
        "sample": card["sample"],
    }


def as_text(found: dict[str, Any]) -> str:
    """Return the estimate for people."""
    start, end, fitted = found["from"], found["to"], found["fitted_on"]
    places = [f"{zone['zone']} ({zone['borough']}, {zone['location_id']})" for zone in (start, end)]
    if found["sample"]:
        error = "made from sample data, so it shows no real durations and has no accuracy"
    else:
        error = "not scored" if found["mae"] is None else f"mean absolute error {found['mae']:.1f} min"
    months = fitted[0] if len(fitted) == 1 else f"{fitted[0]} to {fitted[-1]}"
    return (
        f"{found['p10']:.0f} to {found['p90']:.0f} minutes, about {found['minutes']:.0f}\n"
        f"{places[0]} to {places[1]}, {found['at']}\n"
        f"Four of five trips fall in the span. Model {found['dataset']} {found['model_month']}, fitted on {months}; "
        f"{error}."
    )


def _lake(dataset: str) -> tuple[list[date], Reader]:
    from google.cloud import storage

    from taxi_assets.local.proxies import bypass_for_loopback
    from taxi_assets.models.store import model_months, models_prefix
    from taxi_assets.resources.google_errors import PATIENCE_SECONDS, client_arguments, google_errors
    from taxi_assets.settings import Settings

    settings = Settings.from_environment()
    os.environ.update(bypass_for_loopback())
    if not settings.gcs_bucket:
        raise SettingsError("No bucket is set; set TAXI_GCS_BUCKET to the bucket of the lake.")
    host = settings.storage_emulator_host
    what = f"the bucket gs://{settings.gcs_bucket}"
    retry = storage.retry.DEFAULT_RETRY.with_timeout(PATIENCE_SECONDS)

    def errors() -> Any:
        return google_errors(what, host, f"{what} does not exist; create it, or set TAXI_GCS_BUCKET to one that does.")

    with errors():
        client = storage.Client(project=settings.gcp_project, **client_arguments(host))
        bucket = client.bucket(settings.gcs_bucket, user_project=settings.gcp_billed_project)
        names = [blob.name for blob in bucket.list_blobs(prefix=models_prefix(dataset), retry=retry)]

    def read(name: str) -> bytes | None:
        with errors():
            return bytes(bucket.blob(name).download_as_bytes(retry=retry)) if name in names else None

    return model_months(dataset, names), read
