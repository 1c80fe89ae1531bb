"""Where the script runs: on this machine or on a Dataproc cluster, each through Dagster Pipes."""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.object_names import ZONE_PIECES_OBJECT
from taxi_assets.errors import ServiceError
from taxi_assets.resources.lake import LakeObject, LakeResource
from taxi_assets.runtime.dagster_internals import DagsterPipesExecutionError
from taxi_assets.spark import local
from taxi_assets.spark.plan import Plan, build_plan
from taxi_assets.spark.store import HistoryFile

SCRIPT = Path(__file__).with_name("history.py")
Made = tuple[dict[str, HistoryFile], str]


class SparkResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Spark, which makes the tables of a dataset's year in the lake."""

    kind: Literal["local", "dataproc"] = Field(default="local", description="This machine, or a Dataproc cluster.")
    project: str | None = Field(default=None, description="Google Cloud project of the cluster.")
    region: str | None = Field(default=None, description="Region of the cluster.")
    cluster: str | None = Field(default=None, description="Name of the cluster.")

    def check_ready(self) -> None:
        """Check what can be checked before months are read.

        Raises:
            ServiceError: Java or pyspark is missing; the sentence says what to install.
        """
        if self.kind == "local":
            local.check_ready()

    def make_year(
        self,
        context: dg.AssetExecutionContext,
        lake: LakeResource,
        dataset: Dataset,
        months: Mapping[date, LakeObject],
        prefix: str,
    ) -> Made:
        """Write the tables of the months, which are of one year, to objects of the prefix, and return them.

        Also returns the version of Spark.

        Raises:
            ServiceError: Spark failed, or ended without its final message; nothing of what it wrote is named anywhere.
        """
        make = self._make_here if self.kind == "local" else self._make_on_dataproc
        return make(context, lake, dataset, months, prefix)

    def _make_here(
        self,
        context: dg.AssetExecutionContext,
        lake: LakeResource,
        dataset: Dataset,
        months: Mapping[date, LakeObject],
        prefix: str,
    ) -> Made:
        with ExitStack() as stack:
            folder = stack.enter_context(lake.scratch())
            files = [str(stack.enter_context(lake.borrowed(item.name))) for item in months.values()]
            out = folder / "out"
            pieces = [str(stack.enter_context(lake.borrowed(item.name))) for item in _pieces(lake)]
            plan = build_plan(dataset, list(months), files, str(out), local.configuration(folder / "spark"), pieces)
            client = dg.PipesSubprocessClient(env=local.environment(folder / "spark"))
            try:
                done = client.run(context=context, command=[sys.executable, str(SCRIPT)], extras=plan)
            except DagsterPipesExecutionError as error:
                raise ServiceError(_failed(plan, str(error).removeprefix("External execution process "))) from error
            rows, version = final_message(plan, done.get_custom_messages())
            objects = {}
            for name in plan["tables"]:
                [path] = (out / name).glob("*.parquet")
                objects[name] = lake.put(path, f"{prefix}{name}/{path.name}", {}).name
        return {name: HistoryFile(objects[name], rows[name]) for name in objects}, version

    def _make_on_dataproc(
        self,
        context: dg.AssetExecutionContext,
        lake: LakeResource,
        dataset: Dataset,
        months: Mapping[date, LakeObject],
        prefix: str,
    ) -> Made:
        # Google's clients for clusters take a second to import, which only such a step has to spend.
        from taxi_assets.spark.dataproc import run_job

        digest = hashlib.sha256(SCRIPT.read_bytes()).hexdigest()[:12]
        script = lake.put(SCRIPT, f"history/code/history-{digest}.py", {})
        files = [item.uri for item in months.values()]
        pieces = [item.uri for item in _pieces(lake)]
        plan = build_plan(dataset, list(months), files, f"gs://{lake.bucket}/{prefix}".rstrip("/"), pieces=pieces)
        try:
            messages = run_job(context, lake, plan, script.uri, self._where())
        except RuntimeError as error:
            # What Dagster's client raises for a job that failed or was canceled on the cluster.
            raise ServiceError(_failed(plan, f"failed: {error}")) from error
        rows, version = final_message(plan, messages)
        return {name: HistoryFile(_only_file(lake, f"{prefix}{name}/"), rows[name]) for name in plan["tables"]}, version

    def _where(self) -> tuple[str, str, str]:
        if not (self.project and self.region and self.cluster):
            raise ServiceError(
                "TAXI_SPARK is dataproc, but no cluster is named; set TAXI_GCP_PROJECT, TAXI_DATAPROC_REGION and "
                "TAXI_DATAPROC_CLUSTER."
            )
        return self.project, self.region, self.cluster


def final_message(plan: Plan, messages: Sequence[Any]) -> tuple[dict[str, int], str]:
    """Return the rows of each table and the version of Spark from the script's last message.

    A job can end well though its driver died, so that only this message counts.

    Raises:
        ServiceError: There is no such message.
    """
    last = messages[-1] if messages and isinstance(messages[-1], dict) else {}
    rows = last.get("rows")
    if not isinstance(rows, dict) or rows.keys() != plan["tables"].keys():
        raise ServiceError(_failed(plan, "ended without its final message with the rows of each table"))
    return {name: int(count) for name, count in rows.items()}, str(last.get("spark"))


def _failed(plan: Plan, how: str) -> str:
    return (
        f"Spark on {plan['name']} {how.rstrip('.')}. The year that was there stays; the log above has the reason, if "
        "Spark gave one. Mend that, or give it more memory if it was killed, and run it again."
    )


def _pieces(lake: LakeResource) -> list[LakeObject]:
    """Return the object of the zones' pieces, if there is one: only files with coordinates need it."""
    found = lake.find(ZONE_PIECES_OBJECT)
    return [found] if found is not None else []


def _only_file(lake: LakeResource, prefix: str) -> str:
    found = [item.name for item in lake.list(prefix) if item.name.endswith(".parquet")]
    if len(found) != 1:
        raise ServiceError(f"Spark reported one file under gs://{lake.bucket}/{prefix}, and {len(found)} are there.")
    return found[0]
