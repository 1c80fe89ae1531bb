"""The script as a job of a Dataproc cluster, through dagster-gcp's Pipes client.

The client polls and cancels a job by its UUID, so that no id of our own is set. Job, context and messages go through
the lake's bucket, under `pending/`, from where housekeeping removes what is left.
"""

import random
import string
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster_gcp.pipes import PipesDataprocJobClient, PipesGCSContextInjector, PipesGCSMessageReader
from dagster_pipes import PipesParams
from dagster_shared.utils.warnings import PreviewWarning
from google.cloud.dataproc_v1 import JobControllerClient
from google.cloud.dataproc_v1.types import Job, JobPlacement, JobScheduling, PySparkJob

from taxi_assets.contract.object_names import PENDING
from taxi_assets.resources.google_errors import google_errors
from taxi_assets.resources.lake import LakeResource
from taxi_assets.spark.plan import Plan

POLL_SECONDS = 5.0
MESSAGES_SECONDS = 10.0
MESSAGES = f"{PENDING}pipes/"
# Spark restarts a driver that died by itself, and would write to the folders that it has begun.
_ONE_ATTEMPT = JobScheduling(max_failures_per_hour=0, max_failures_total=0)


class PendingMessageReader(PipesGCSMessageReader):
    """Reads messages of the script under `pending/`, not at the top of the bucket."""

    @contextmanager
    def get_params(self) -> Iterator[PipesParams]:
        """Yield what the script is given to find the place."""
        with super().get_params() as params:
            yield {**params, "key_prefix": MESSAGES + "".join(random.choices(string.ascii_letters, k=30))}


def run_job(
    context: dg.AssetExecutionContext, lake: LakeResource, plan: Plan, script: str, where: tuple[str, str, str]
) -> Sequence[Any]:
    """Run the script on a cluster, and return its messages.

    Args:
        context: The step, whose cancellation cancels the job.
        lake: The lake, whose bucket the cluster can read and write.
        plan: What to make.
        script: The script's address in the bucket.
        where: Project, region and name of the cluster.

    Raises:
        ServiceError: The cluster is not there, or access is denied.
        ServiceUnavailableError: Dataproc does not respond.
        RuntimeError: The job failed.
    """
    project, region, cluster = where
    what = f"the Dataproc cluster {cluster} of {project} in {region}"
    storage = lake.get_client()
    bucket = lake.bucket or ""
    with google_errors(what, None, f"{what} does not exist; create it as docs/history.md says."):
        with warnings.catch_warnings():
            # Its interface may change; the version is pinned.
            warnings.simplefilter("ignore", PreviewWarning)
            client = PipesDataprocJobClient(
                client=job_controller(region),
                context_injector=PipesGCSContextInjector(bucket=bucket, client=storage, key_prefix=MESSAGES),
                # Otherwise what the driver prints stays on the cluster.
                message_reader=PendingMessageReader(
                    bucket=bucket, client=storage, interval=MESSAGES_SECONDS, include_stdio_in_messages=True
                ),
                poll_interval=POLL_SECONDS,
            )
        done = client.run(
            context=context,
            submit_job_params={"project_id": project, "region": region, "job": build_job(cluster, script)},
            extras=plan,
        )
    return done.get_custom_messages()


def job_controller(region: str) -> JobControllerClient:
    """Return the client of the region: the default address has only clusters of the region `global`."""
    return JobControllerClient(client_options={"api_endpoint": f"{region}-dataproc.googleapis.com:443"})


def build_job(cluster: str, script: str) -> Job:
    """Return the job of the script on a cluster."""
    return Job(
        placement=JobPlacement(cluster_name=cluster),
        pyspark_job=PySparkJob(main_python_file_uri=script),
        scheduling=_ONE_ATTEMPT,
        labels={"made-by": "taxi-assets"},
    )
