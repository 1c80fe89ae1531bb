"""What makes a bucket unfit for months that are replaced, and whether an account may do there what a load does."""

import uuid

from google.cloud import storage

from taxi_assets.resources.lake import RETRY, TIMEOUT, LakeResource

PROBE_PREFIX = "pending/probe-"


def bucket_problems(bucket: storage.Bucket, billed_project: str | None) -> list[str]:
    """Return in one sentence each why months cannot be replaced in the bucket; pure, on Google's description."""
    name, found = f"The bucket gs://{bucket.name}", []
    if bucket.retention_period:
        found.append(
            f"{name} keeps each object for {bucket.retention_period / 86_400:g} days (retention policy), so months "
            "that change could not be replaced; remove it with `gcloud storage buckets update "
            f"--clear-retention-period gs://{bucket.name}`, or set TAXI_GCS_BUCKET to another bucket."
        )
    if bucket.default_event_based_hold:
        found.append(
            f"{name} puts a hold on each new object, so months that change could not be replaced; remove it with "
            f"`gcloud storage buckets update --no-default-event-based-hold gs://{bucket.name}`."
        )
    if bucket.requester_pays and not billed_project:
        found.append(f"{name} lets its requesters pay; set TAXI_GCP_BILLED_PROJECT to the project that pays.")
    return found


def find_bucket_problems(lake: LakeResource) -> list[str]:
    """Return `bucket_problems` of the lake's bucket.

    Raises:
        ServiceError: The bucket does not exist, or the account may not read its description, which needs
            storage.buckets.get and is no part of a load.
        ServiceUnavailableError: The bucket does not respond.
    """
    with lake.get_bucket() as bucket:
        bucket.reload(retry=RETRY, timeout=TIMEOUT)
        return bucket_problems(bucket, lake.billed_project)


def probe_bucket(lake: LakeResource) -> None:
    """List, create, overwrite and delete a small object of the bucket, as a load does.

    Raises:
        ServiceError: One of these is refused; Google's reason is in the text.
        ServiceUnavailableError: The bucket does not respond.
    """
    with lake.get_bucket() as bucket:
        blob = bucket.blob(f"{PROBE_PREFIX}{uuid.uuid4().hex}")
        next(iter(bucket.list_blobs(max_results=1, retry=RETRY, timeout=TIMEOUT)), None)
        for text in ("first", "second"):
            blob.upload_from_string(text, retry=RETRY, timeout=TIMEOUT)
        blob.delete(retry=RETRY, timeout=TIMEOUT)
