"""Buckets in which months cannot be replaced, and the probe of what a load does there."""

import pytest
from google.cloud import storage

from taxi_assets.errors import ServiceError
from taxi_assets.resources.bucket_checks import bucket_problems, find_bucket_problems, probe_bucket
from taxi_assets_tests.conftest import World, changed


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"retentionPolicy": {"retentionPeriod": "2592000"}}, "for 30 days (retention policy)"),
        ({"defaultEventBasedHold": True}, "a hold on each new object"),
        ({"billing": {"requesterPays": True}}, "TAXI_GCP_BILLED_PROJECT"),
    ],
)
def test_what_hinders_in_a_bucket_is_named(properties: dict[str, object], words: str):
    bucket = storage.Bucket(client=None, name="a-bucket")
    assert bucket_problems(bucket, None) == []
    bucket._properties.update(properties)
    [problem] = bucket_problems(bucket, None)
    assert words in problem
    assert "gs://a-bucket" in problem


def test_a_bucket_whose_requesters_pay_is_none_with_the_project_that_pays():
    bucket = storage.Bucket(client=None, name="a-bucket")
    bucket._properties.update({"billing": {"requesterPays": True}})
    assert bucket_problems(bucket, "payer-project") == []


def test_the_probe_leaves_nothing(world: World):
    probe_bucket(world.lake)
    assert find_bucket_problems(world.lake) == []
    assert list(world.lake.list("")) == []
    with pytest.raises(ServiceError, match="does not exist"):
        probe_bucket(changed(world.lake, bucket="no-such-bucket"))
