"""The duration model of a month, and its scored pairs in the warehouses."""

import json
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from dagster_shared.utils.warnings import BetaWarning

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.object_names import clean_object, pairs_object
from taxi_assets.contract.tables import TABLES, pairs_table
from taxi_assets.defs.assets.common import OWNERS, as_dagster_failure, description_of, month_of, published_month
from taxi_assets.defs.assets.metadata import column_schema
from taxi_assets.defs.checks import Check
from taxi_assets.defs.partitions import monthly
from taxi_assets.errors import ServiceError
from taxi_assets.models import store
from taxi_assets.models.backtest import OFFSETS, DurationModel, pair_rows, train
from taxi_assets.models.card import build_card, page, verdict
from taxi_assets.models.features import FEATURE_VERSION
from taxi_assets.models.fit import answer
from taxi_assets.models.places import known_places
from taxi_assets.models.scores import score
from taxi_assets.models.trips import Trips, read_sample, trips_of
from taxi_assets.months import month_text, months_before, months_between
from taxi_assets.resources.lake import LakeFile, LakeResource
from taxi_assets.resources.warehouse import WAREHOUSES, Warehouse
from taxi_assets.runtime.queues import queue_tags

GROUP = "models"
FLOOR = Check("model_beats_the_floors", "The MAE is at least 2 % below that of the stronger floor on the month scored.")
# Earlier models that are scored on the month, and months of pairs that the table holds.
DRIFT_MODELS = 6
PAIR_MONTHS = 12


def build_duration_model(dataset: Dataset) -> dg.AssetsDefinition:
    """Build the asset `<dataset>/duration_model`."""
    key = [dataset.name, "duration_model"]

    def duration_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Make the model that estimates the minutes of a trip from zone to zone, first usable in this month.

        It is fitted on the six months before, chosen on the last of them, and scored on the month itself against two
        floors; months that are not in the lake are left out. If it is not better than the stronger floor by 2 %, only
        its card is stored, and the model in use stays. A rerun gives the same model.
        """
        lake: LakeResource = context.resources.lake
        month = month_of(context)
        with as_dagster_failure(context):
            store.libraries()
            months, inputs = _inputs(lake, dataset, month)
            model = train(months, month, known_places())
            content = store.to_bytes(model, dataset.name)
            sample = any(item["sample"] for item in inputs)
            drift = [] if sample else _drift(lake, dataset.name, model, months)
            card = build_card(dataset.name, model, store.file_facts(content), inputs, sample=sample, drift=drift)
            passed, reason = verdict(card)
            if passed:
                uri = _publish(lake, dataset.name, model, months, content, card)
            else:
                uri = _store_card(lake, card, f"{store.models_prefix(dataset.name)}rejected/{month_text(month)}.")
        context.log.info("%s", reason)
        return dg.MaterializeResult(
            metadata={"dagster/uri": uri, "used": passed, **_facts(card)},
            check_results=[dg.AssetCheckResult(check_name=FLOOR.name, passed=passed, description=reason)],
        )

    return dg.asset(
        key=key,
        deps=[
            dg.AssetDep([dataset.name, "gcs_object"], partition_mapping=_months_read()),
        ],
        group_name=GROUP,
        partitions_def=monthly(dataset),
        description=description_of(duration_model, dataset.title),
        check_specs=[FLOOR.of(key)],
        kinds={"scikitlearn", "gcs"},
        owners=OWNERS,
        tags={"layer": "model"},
        required_resource_keys={"lake"},
        pool="clean",
        op_tags=queue_tags("clean"),
        code_version=f"features.{FEATURE_VERSION}",
    )(duration_model)


def build_duration_pairs(dataset: Dataset) -> dg.AssetsDefinition:
    """Build the asset `<dataset>/duration_pairs`."""
    table = TABLES[pairs_table(dataset.name)]

    def duration_pairs(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Publish the scored pairs of zones in every warehouse: one row a model's month and pair of zones.

        The table holds the twelve newest models in use and is replaced whole.
        """
        lake: LakeResource = context.resources.lake
        warehouses: list[Warehouse] = [getattr(context.resources, name) for name in WAREHOUSES]
        with as_dagster_failure(context), lake.scratch() as folder:
            path = folder / "pairs.parquet"
            months = store.model_months(dataset.name, (i.name for i in lake.list(store.models_prefix(dataset.name))))
            names = [store.model_object(dataset.name, month, "pairs.parquet") for month in months[-PAIR_MONTHS:]]
            tables = [pq.read_table(lake.fetch(name)) for name in names if lake.find(name) is not None]
            rows = pa.concat_tables([table.schema.arrow.empty_table(), *tables])
            pq.write_table(rows, path)
            stored = lake.put(path, pairs_object(dataset.name), {})
            file = LakeFile(stored.uri, lambda: nullcontext(path))
            published = {w.asset_name: w.replace_table(table.name, file, rows.num_rows) for w in warehouses}
        return dg.MaterializeResult(metadata={"dagster/row_count": rows.num_rows, **published})

    return dg.asset(
        key=[dataset.name, "duration_pairs"],
        deps=[[dataset.name, "duration_model"]],
        group_name=GROUP,
        description=description_of(duration_pairs, dataset.title),
        metadata={"dagster/column_schema": column_schema(table.schema)},
        kinds={"table", *WAREHOUSES},
        owners=OWNERS,
        tags={"layer": "model"},
        required_resource_keys={"lake", *WAREHOUSES},
        pool="postgres",
        op_tags=queue_tags("postgres"),
    )(duration_pairs)


def _months_read() -> dg.TimeWindowPartitionMapping:
    """Return the mapping from a model's month to the months that it reads, some of which may be before the first."""
    with warnings.catch_warnings():
        # The second argument is a beta feature; without it, a dataset's first months could not be materialized.
        warnings.simplefilter("ignore", BetaWarning)
        return dg.TimeWindowPartitionMapping(start_offset=-max(OFFSETS), allow_nonexistent_upstream_partitions=True)


def _inputs(lake: LakeResource, dataset: Dataset, month: date) -> tuple[dict[date, Trips], list[dict[str, Any]]]:
    """Return a sample of each month that there is of those that the model reads, and what the card holds of them."""
    months: dict[date, Trips] = {}
    inputs = []
    for wanted in sorted(months_before(month, offset) for offset in OFFSETS):
        if lake.find(clean_object(dataset.name, wanted)) is None:
            continue
        kept, manifest = published_month(lake, dataset, wanted)
        months[wanted] = trips_of(pq.read_table(_sample(lake, dataset, wanted, kept.crc32c)))
        inputs.append(
            {
                "month": month_text(wanted),
                "crc32c": kept.crc32c,
                "raw_sha256": manifest.raw_sha256,
                "rows": manifest.kept.rows,
                "trips_read": len(months[wanted]),
                "sample": manifest.source.startswith("sample"),
            }
        )
    return months, inputs


def _sample(lake: LakeResource, dataset: Dataset, month: date, crc32c: str) -> Path:
    """Return the month's sample, drawn once for each state of the month's object and kept in the lake."""
    name = f"{store.models_prefix(dataset.name)}trips/{month_text(month)}.parquet"
    found = lake.find(name)
    if found is None or found.metadata.get("drawn_from") != crc32c:
        with lake.borrowed(clean_object(dataset.name, month)) as path, lake.scratch() as folder:
            drawn = folder / "trips.parquet"
            pq.write_table(read_sample(path, month), drawn)
            lake.put(drawn, name, {"drawn_from": crc32c})
    return lake.fetch(name)


def _drift(
    lake: LakeResource, dataset: str, model: DurationModel, months: Mapping[date, Trips]
) -> list[dict[str, Any]]:
    """Return how earlier models, frozen as they are, do on the month that this one is scored on."""
    if model.scored_on is None:
        return []
    trips, places = months[model.scored_on].plausible(), known_places()
    earlier = [
        m
        for m in store.model_months(dataset, (item.name for item in lake.list(store.models_prefix(dataset))))
        if m < model.scored_on
    ]
    found: list[dict[str, Any]] = []
    for month in earlier[-DRIFT_MODELS:]:
        try:
            _, fitted, tuning = store.load(dataset, month, reader(lake))
        except ServiceError as error:
            found.append({"model_month": month_text(month), "refused": str(error)})
            continue
        estimate, low, high = answer(fitted, tuning, trips.questions, places)
        scores = score(trips.minutes, estimate, (low, high)).as_dict()
        age = months_between(month, model.scored_on)
        found.append({"model_month": month_text(month), "age_months": age, **scores})
    return found


def reader(lake: LakeResource) -> Callable[[str], bytes | None]:
    """Return a function that reads an object's content, or None."""
    return lambda name: lake.fetch(name).read_bytes() if lake.find(name) is not None else None


def _publish(
    lake: LakeResource,
    dataset: str,
    model: DurationModel,
    months: Mapping[date, Trips],
    content: bytes,
    card: store.Card,
) -> str:
    def name(of: str) -> str:
        return store.model_object(dataset, model.month, of)

    with lake.scratch() as folder:
        path = folder / "object"
        path.write_bytes(content)
        lake.put(path, name(card["file"]["name"]), {"dataset": dataset, "month": card["month"]})
        if model.scored_on is not None:
            pq.write_table(_pairs(dataset, model, months[model.scored_on], sample=card["sample"]), path)
            lake.put(path, name("pairs.parquet"), {})
    return _store_card(lake, card, name("card."))


def _store_card(lake: LakeResource, card: store.Card, prefix: str) -> str:
    """Store the page and, last, the card; return the page's address."""
    with lake.scratch() as folder:
        path = folder / "card"
        path.write_text(page(card), encoding="utf-8")
        uri = lake.put(path, f"{prefix}html", {}).uri
        path.write_text(json.dumps(card, indent=2), encoding="utf-8")
        lake.put(path, f"{prefix}json", {})
    return uri


def _pairs(dataset: str, model: DurationModel, trips: Trips, *, sample: bool) -> pa.Table:
    schema = TABLES[pairs_table(dataset)].schema.arrow
    columns: dict[str, Any] = dict(pair_rows(model, trips, known_places()))
    rows = len(columns["trips"])
    assert model.scored_on is not None, "only a scored model has pairs"
    columns["model_month"] = pa.array([model.month] * rows, pa.date32())
    columns["scored_month"] = pa.array([model.scored_on] * rows, pa.date32())
    if sample:
        columns["mean_absolute_error"] = pa.nulls(rows)
    return pa.table([pa.array(columns[field.name]).cast(field.type) for field in schema], schema=schema)


def _facts(card: store.Card) -> dict[str, Any]:
    """Return the metadata of the materialization; a sample's has no accuracy."""
    facts: dict[str, Any] = {
        "fitted_on": ", ".join(card["fitted_on"]),
        "chosen_on": card["chosen_on"] or "nothing",
        "scored_on": card["scored_on"] or "nothing",
        "sample": card["sample"],
    }
    if card["scores"]:
        for lead in card["scores"]:
            facts |= {
                f"lead_{lead['lead']}_{name}": lead["model"][name] for name in ("mae", "rmse", "bias", "coverage")
            }
            facts[f"lead_{lead['lead']}_gain"] = lead["gain"]
    return facts
