"""What Dagster loads: definitions in both environments without any secret, whole and in the right order."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.build import build_definitions
from taxi_assets.marts.catalog import catalog
from taxi_assets.resources.warehouse import WAREHOUSES
from taxi_assets.settings import PROJECT_ROOT, Settings
from taxi_assets_tests.support.waiting import HANG_SECONDS

# Each asset's upstream asset, pool, and what it is.
ASSETS = {
    "raw_file": (None, "source", {"file"}),
    "clean_parquet": ("raw_file", "clean", {"parquet", "pyarrow"}),
    "gcs_object": ("clean_parquet", "gcs", {"gcs", "parquet"}),
    "bigquery_table": ("gcs_object", "bigquery", {"bigquery", "table"}),
    "postgres_table": ("gcs_object", "postgres", {"postgres", "table"}),
}
FIRST_MONTHS = {"yellow": "2009-01-01", "green": "2013-08-01", "fhv": "2015-01-01", "fhvhv": "2019-02-01"}
BLOCKING = {
    "clean_parquet": {
        "rows_are_conserved",
        "schema_is_the_contract",
        "month_is_not_empty",
        "rejected_share_is_usual",
    },
    "gcs_object": {"objects_are_the_files"},
    "bigquery_table": {"table_is_the_lake"},
    "postgres_table": {"table_is_the_lake"},
}
MARTS = {
    *(("marts", w, d, m.name) for w in WAREHOUSES for d in FIRST_MONTHS for m in catalog().facts),
    *(("marts", w, m.name) for w in WAREHOUSES for m in catalog().views),
}
HISTORY = {
    *(("history", d) for d in FIRST_MONTHS),
    *(("history", w, d) for w in WAREHOUSES for d in FIRST_MONTHS),
}
ALL_MONTHS = [(dataset, name) for dataset in FIRST_MONTHS for name in ASSETS]

# Loads what a code location loads; says which of its own lines warned, and what it need not have imported.
LOAD = """
import sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from taxi_assets.definitions import defs
    defs.get_repository_def().load_all_definitions()
own = [f"{w.filename}:{w.lineno}: {w.message}" for w in caught if "/taxi_assets/" in w.filename]
heavy = {"dbt", "bqemulator", "duckdb", "pandas", "gcp_storage_emulator", "pyspark", "jinja2", "dagster_gcp"}
heavy |= {"taxi_assets.local.stack", "taxi_assets_tests", "pytest"}
print(len(list(defs.resolve_all_asset_specs())), sorted(heavy & set(sys.modules)), own)
"""


@pytest.fixture(scope="module", params=["local", "cloud"])
def definitions(request: pytest.FixtureRequest) -> dg.Definitions:
    return build_definitions(Settings.from_environment({"TAXI_ENV": request.param}))


def spec_of(definitions: dg.Definitions, *path: str) -> dg.AssetSpec:
    [spec] = [spec for spec in definitions.resolve_all_asset_specs() if spec.key == dg.AssetKey(path)]
    return spec


@pytest.mark.parametrize("env", ["local", "cloud"])
def test_definitions_load_without_secrets_and_without_warnings(env: str, tmp_path: Path):
    """As `dagster` loads them, in a process without a single setting of its own."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TAXI_ENV": env, "NO_GCE_CHECK": "true"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=PROJECT_ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{len(ALL_MONTHS) + 5 * len(FIRST_MONTHS) + 3 + len(MARTS) + len(HISTORY)} [] []"
    assert "Warning" not in done.stderr


def test_definitions_are_sound(definitions: dg.Definitions):
    dg.Definitions.validate_loadable(definitions)


@pytest.mark.parametrize(("dataset", "name"), ALL_MONTHS)
def test_every_dataset_has_its_five_assets(definitions: dg.Definitions, dataset: str, name: str):
    upstream, pool, kinds = ASSETS[name]
    spec = spec_of(definitions, dataset, name)
    assert [dep.asset_key.path for dep in spec.deps] == (
        [[dataset, upstream] if upstream else ["tlc", f"{dataset}_file"]]
    )
    assert spec.group_name == dataset
    assert spec.kinds == kinds
    assert definitions.resolve_assets_def(spec.key).op.pool == pool
    assert isinstance(spec.partitions_def, dg.MonthlyPartitionsDefinition)
    assert spec.partitions_def.get_first_partition_key() == FIRST_MONTHS[dataset]
    assert spec.code_version


@pytest.mark.parametrize("dataset", FIRST_MONTHS)
def test_history_is_by_year_and_hangs_on_the_lake_alone(definitions: dg.Definitions, dataset: str):
    spec = spec_of(definitions, "history", dataset)
    assert [dep.asset_key.path for dep in spec.deps] == [[dataset, "gcs_object"]]
    assert isinstance(spec.partitions_def, dg.TimeWindowPartitionsDefinition)
    keys = spec.partitions_def.get_partition_keys()
    assert keys[0] == FIRST_MONTHS[dataset][:4]
    assert keys[-1] == f"{date.today().year}"
    for warehouse in WAREHOUSES:
        table = spec_of(definitions, "history", warehouse, dataset)
        assert [dep.asset_key.path for dep in table.deps] == [["history", dataset]]
        assert definitions.resolve_assets_def(table.key).op.pool == warehouse


def test_there_is_nothing_but_datasets_zones_marts_history_reports_and_operations(
    definitions: dg.Definitions,
):
    keys = {tuple(spec.key.path) for spec in definitions.resolve_all_asset_specs()}
    operations = {("operations", name) for name in ("housekeeping", *(f"{d}_reconciliation" for d in FIRST_MONTHS))}
    models = {(d, name) for d in FIRST_MONTHS for name in ("duration_model", "duration_pairs")}
    reports = {("reports", "overview"), *((d, "month_report") for d in FIRST_MONTHS)}
    assert keys == {*ALL_MONTHS, ("zones",)} | operations | models | reports | MARTS | HISTORY | {
        ("tlc", f"{d}_file") for d in FIRST_MONTHS
    }
    assert set(DATASETS) == set(FIRST_MONTHS)


@pytest.mark.parametrize(("dataset", "name"), ALL_MONTHS)
def test_descriptions_say_what_a_row_is_and_what_a_rerun_does(definitions: dg.Definitions, dataset: str, name: str):
    description = spec_of(definitions, dataset, name).description or ""
    assert description.startswith(DATASETS[dataset].title)
    assert "rerun" in description
    if name in ("clean_parquet", "bigquery_table", "postgres_table"):
        assert "one row a trip" in description
    if name == "raw_file":
        assert "made-up sample" in description
    if name == "clean_parquet":
        assert [rule for rule in DATASETS[dataset].rule_names if f"`{rule}`" not in description] == []


@pytest.mark.parametrize(("dataset", "name"), ALL_MONTHS)
def test_columns_are_told_where_there_are_any(definitions: dg.Definitions, dataset: str, name: str):
    schema = spec_of(definitions, dataset, name).metadata.get("dagster/column_schema")
    if name == "raw_file":
        assert schema is None
    else:
        assert [column.name for column in schema.columns] == list(DATASETS[dataset].schema.names)
        assert all(column.description for column in schema.columns)


@pytest.mark.parametrize("dataset", FIRST_MONTHS)
def test_what_stops_a_month(definitions: dg.Definitions, dataset: str):
    blocking = {
        name: {s.name for s in definitions.resolve_assets_def([dataset, name]).check_specs if s.blocking}
        for name in BLOCKING
    }
    assert blocking == BLOCKING


@pytest.mark.parametrize("dataset", FIRST_MONTHS)
def test_a_job_takes_one_month_through_all_five_assets(definitions: dg.Definitions, dataset: str):
    job = definitions.resolve_job_def(f"{dataset}_month_job")
    assert {tuple(key.path) for key in job.asset_layer.executable_asset_keys} == {(dataset, name) for name in ASSETS}
    assert job.partitions_def is not None
    assert "2024-01-01" in job.partitions_def.get_partition_keys()
    assert job.description


@pytest.mark.parametrize("dataset", FIRST_MONTHS)
def test_newer_months_come_first_in_the_queue(definitions: dg.Definitions, dataset: str):
    job = definitions.resolve_job_def(f"{dataset}_month_job")
    keys = ["2019-12-01", "2020-01-01", "2024-05-01"]
    priorities = [int(job.get_tags_for_partition_key(key, None)["dagster/priority"]) for key in keys]
    assert 0 < priorities[0] < priorities[1] < priorities[2]


@pytest.mark.parametrize("env", ["local", "cloud"])
def test_what_starts_runs_is_on_in_the_cloud_and_off_on_a_laptop(env: str):
    repository = build_definitions(Settings.from_environment({"TAXI_ENV": env})).get_repository_def()
    starting = ("_new_months_sensor", "marts_sensor")
    sensors = {s.name: s.default_status.value for s in repository.sensor_defs if s.name.endswith(starting)}
    schedules = {s.name: s.default_status.value for s in repository.schedule_defs if s.name.endswith("_month_schedule")}
    status = "RUNNING" if env == "cloud" else "STOPPED"
    assert sensors == {f"{name}_new_months_sensor": status for name in FIRST_MONTHS} | {"marts_sensor": status}
    assert schedules == {f"{name}_month_schedule": status for name in FIRST_MONTHS}


@pytest.mark.parametrize(("dataset", "name"), ALL_MONTHS)
def test_no_asset_has_a_retry_policy_by_which_a_canceled_step_would_be_retried(
    definitions: dg.Definitions, dataset: str, name: str
):
    assert definitions.resolve_assets_def([dataset, name]).op.retry_policy is None


def test_a_resource_can_be_replaced():
    settings = Settings.from_environment({"TAXI_ENV": "local"})
    usual = build_definitions(settings)
    assert usual.resources is not None
    other = usual.resources["postgres"].model_copy()
    replaced = build_definitions(settings, {"postgres": other})
    assert replaced.resources is not None
    assert replaced.resources["postgres"] is other
    assert (
        set(replaced.resources)
        == set(usual.resources)
        == {
            *("source", "lake", "bigquery", "postgres", "spark", "notifier"),
        }
    )
