"""The marts: tables and views derived from trips, made by dbt in each warehouse."""

import warnings
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import cast

import dagster as dg
from dagster_shared.utils.warnings import PreviewWarning

from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.tables import ZONE_AREAS_TABLE, ZONE_PIECES_TABLE, ZONES_TABLE, trips_table
from taxi_assets.defs.assets.common import OWNERS, as_dagster_failure, build_group_sensor, follow_every_month
from taxi_assets.defs.assets.metadata import LINEAGE
from taxi_assets.defs.partitions import monthly
from taxi_assets.marts.catalog import Model, catalog
from taxi_assets.marts.marts import Marts
from taxi_assets.months import parse_month
from taxi_assets.reconcile.inventory import lake_objects
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.warehouse import WAREHOUSES, Warehouse
from taxi_assets.runtime.dagster_internals import AssetJobDefinition
from taxi_assets.runtime.queues import queue_tags

GROUP = "marts"


def build_marts() -> list[dg.AssetsDefinition]:
    """Build the marts of every warehouse: the months of each dataset, and the views over them."""
    return [
        *(build_month_marts(dataset, name) for name in WAREHOUSES for dataset in DATASETS.values()),
        *(build_views(name) for name in WAREHOUSES),
    ]


def build_marts_job() -> AssetJobDefinition:
    """Build the job `marts_views_job`, which makes the views anew."""
    views = [key(name, model.name) for name in WAREHOUSES for model in catalog().views]
    return dg.define_asset_job(
        "marts_views_job", dg.AssetSelection.assets(*views), description="The views of the marts, in every warehouse."
    )


def build_marts_sensor(enabled_by_default: bool) -> dg.AutomationConditionSensorDefinition:
    """Build the sensor that makes a month's marts when its tables were loaded."""
    text = "Makes the marts of each month, of any age, when its tables have been loaded, or loaded anew."
    return build_group_sensor(GROUP, enabled_by_default, text)


def key(warehouse: str, *path: str) -> dg.AssetKey:
    """Return the key of a view, or of a dataset's part of a table."""
    return dg.AssetKey([GROUP, warehouse, *path])


def build_month_marts(dataset: Dataset, warehouse: str) -> dg.AssetsDefinition:
    """Build the assets `marts/<warehouse>/<dataset>/<table>`: the dataset's months in each table."""
    table = dg.AssetKey([dataset.name, WAREHOUSES[warehouse].asset_name])
    facts = catalog().facts
    sources = {trips_table(dataset.name): table}
    # Files of these datasets had coordinates once, whose zones are found.
    zones = [dg.AssetKey(ZONES_TABLE)] if "pickup_longitude" in dataset.schema.names else []
    sources |= dict.fromkeys([ZONE_PIECES_TABLE] if zones else [], dg.AssetKey(ZONES_TABLE))

    @dg.multi_asset(
        name=f"{dataset.name}__{warehouse}_marts",
        specs=[
            dg.AssetSpec(
                key(warehouse, dataset.name, model.name),
                deps=[table, *zones],
                automation_condition=follow_every_month(*zones),
                **_described(model, warehouse, _lineage(model, dataset.name, sources)),
            )
            for model in facts
        ],
        check_specs=_checks(dataset, warehouse),
        partitions_def=monthly(dataset),
        backfill_policy=dg.BackfillPolicy.single_run(),
        required_resource_keys={"lake", warehouse},
        pool=warehouse,
        op_tags=queue_tags(warehouse),
    )
    def month_marts(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        lake = cast(LakeResource, context.resources.lake)
        marts = Marts(getattr(context.resources, warehouse), marts_state(lake))
        months = [parse_month(text) for text in context.partition_keys]
        with as_dagster_failure(context):
            tests = marts.make_months(dataset, months, manifests_of(lake, dataset, months))
            rows = {model.name: marts.month_rows(model.name, dataset, months) for model in facts}
        for model in facts:
            for month in months:
                counted = {"dagster/partition_row_count": rows[model.name].get(month, 0)}
                context.add_asset_metadata(counted, key(warehouse, dataset.name, model.name), month.isoformat())
            yield dg.MaterializeResult(
                asset_key=key(warehouse, dataset.name, model.name),
                metadata={"dagster/table_name": marts.name(model.name).strip("`")},
            )
        for test in tests:
            yield dg.AssetCheckResult(
                check_name=test.name,
                asset_key=key(warehouse, dataset.name, catalog().tests[test.name].models[0]),
                passed=test.status == "pass",
                description=test.message or f"No row of {len(months)} months breaks it.",
            )

    return month_marts


def build_views(warehouse: str) -> dg.AssetsDefinition:
    """Build the assets `marts/<warehouse>/<view>`, which read all months and hold nothing."""
    sources = dict.fromkeys((ZONES_TABLE, ZONE_AREAS_TABLE, ZONE_PIECES_TABLE), dg.AssetKey(ZONES_TABLE))
    sources |= {model.name: key(warehouse, model.name) for model in catalog().views}
    renew = dg.AutomationCondition.code_version_changed() | dg.AutomationCondition.missing().newly_true()

    @dg.multi_asset(
        name=f"{warehouse}_views",
        specs=[
            dg.AssetSpec(
                key(warehouse, model.name),
                deps=_upstream(model, warehouse, sources),
                automation_condition=renew & ~dg.AutomationCondition.in_progress(),
                **_described(model, warehouse, _view_lineage(model, warehouse, sources)),
            )
            for model in catalog().views
        ],
        required_resource_keys={"lake", warehouse},
        pool=warehouse,
        op_tags=queue_tags(warehouse),
    )
    def views(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        marts = Marts(cast(Warehouse, getattr(context.resources, warehouse)), marts_state(context.resources.lake))
        with as_dagster_failure(context):
            marts.make_views()
        for model in catalog().views:
            table = marts.name(model.name).strip("`")
            yield dg.MaterializeResult(asset_key=key(warehouse, model.name), metadata={"dagster/table_name": table})

    return views


def marts_state(lake: LakeResource) -> Path:
    """Return the folder of dbt's parsed project, which is a cache."""
    return Path(lake.data_dir) / "cache" / "marts"


def manifests_of(lake: LakeResource, dataset: Dataset, months: list[date]) -> dict[date, Manifest]:
    """Return the manifests that the lake has of the months."""
    objects = lake_objects(lake, dataset)
    found = {month: objects[month].metadata for month in months if month in objects}
    return {month: Manifest.from_json(data["manifest"]) for month, data in found.items() if "manifest" in data}


def _described(model: Model, warehouse: str, lineage: dg.TableColumnLineage) -> dict:
    columns = [dg.TableColumn(n, c["kind"], description=c["description"]) for n, c in model.columns.items()]
    return {
        "group_name": GROUP,
        "description": model.description,
        "kinds": {"dbt", warehouse, "table" if model.kind == "facts" else "view"},
        "owners": OWNERS,
        "tags": {"layer": "mart"},
        "code_version": catalog().version,
        "metadata": {"dagster/column_schema": dg.TableSchema(columns), LINEAGE: lineage},
    }


def _lineage(model: Model, dataset: str, keys: Mapping[str, dg.AssetKey]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(keys[table], name) for table, name in origins if table in keys]
            for column, origins in model.lineage[dataset].items()
        }
    )


def _upstream(model: Model, warehouse: str, sources: Mapping[str, dg.AssetKey]) -> list[dg.AssetKey]:
    found = [key for name in model.depends_on for key in _keys(name, warehouse, sources)]
    return list(dict.fromkeys(found))


def _keys(name: str, warehouse: str, sources: Mapping[str, dg.AssetKey]) -> list[dg.AssetKey]:
    """Return the assets that a table or view that a model reads stands for."""
    if name in sources:
        return [sources[name]]
    if name in catalog().models:
        return [key(warehouse, dataset, name) for dataset in DATASETS]
    return [dg.AssetKey([d, WAREHOUSES[warehouse].asset_name]) for d in DATASETS if trips_table(d) == name]


def _view_lineage(model: Model, warehouse: str, sources: Mapping[str, dg.AssetKey]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(k, name) for table, name in origins for k in _keys(table, warehouse, sources)]
            for column, origins in model.lineage["yellow"].items()
        }
    )


def _checks(dataset: Dataset, warehouse: str) -> list[dg.AssetCheckSpec]:
    with warnings.catch_warnings():
        # As in checks.py: results of months would overwrite each other otherwise.
        warnings.simplefilter("ignore", PreviewWarning)
        return [
            dg.AssetCheckSpec(
                test.name,
                asset=key(warehouse, dataset.name, test.models[0]),
                description=test.description,
                partitions_def=monthly(dataset),
            )
            for test in catalog().tests.values()
        ]
