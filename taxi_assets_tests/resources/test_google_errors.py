"""What a refused request of Google's is told as: by Google's reason, with Google's own sentence."""

import json

import pytest
import requests
from google.api_core import exceptions

from taxi_assets.errors import ServiceError, ServiceUnavailableError, TaxiError
from taxi_assets.resources.google_errors import google_errors


def response(status: int, reason: str, message: str) -> requests.Response:
    """Return an answer of Google's JSON API."""
    found = requests.Response()
    found.status_code = status
    found.request = requests.Request("POST", "https://storage.googleapis.com/b/x?key=secret").prepare()
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
    found._content = json.dumps({"error": error}).encode()
    return found


def converted(error: Exception) -> TaxiError:
    with pytest.raises(TaxiError) as raised, google_errors("the bucket gs://b", None, "missing"):
        raise error
    return raised.value


@pytest.mark.parametrize(
    ("status", "reason", "message", "advice"),
    [
        (403, "billingNotEnabled", "Billing has not been enabled for this project.", "enable billing"),
        (403, "accountDisabled", "The billing account is disabled in state absent", "enable billing"),
        (403, "accessDenied", "Access Denied: Dataset p:d: Permission denied", "roles in docs/cloud.md"),
        (403, "forbidden", "a@b does not have storage.objects.get access", "roles in docs/cloud.md"),
        (403, "retentionPolicyNotMet", "Object 'x' is subject to bucket's retention policy.", "without retention"),
        (403, "objectUnderActiveHold", "Object 'x' is under active Event-Based hold.", "without retention"),
        (
            403,
            "forbidden",
            "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: A1",
            "service perimeter",
        ),
        (400, "required", "Bucket is a requester pays bucket but no user project provided.", "TAXI_GCP_BILLED_PROJECT"),
        (
            403,
            "forbidden",
            "Caller does not have required permission serviceusage.services.use",
            "serviceUsageConsumer",
        ),
        (403, "accessNotConfigured", "BigQuery API has not been used in project 1 before", "enable the API"),
        (403, "countryBlocked", "The country is blocked.", "resolve what Google names"),
    ],
)
def test_a_refusal_has_googles_sentence_and_the_advice_of_its_reason(
    status: int, reason: str, message: str, advice: str
):
    error = converted(exceptions.from_http_response(response(status, reason, message)))
    assert isinstance(error, ServiceError)
    assert message.rstrip(".") in str(error)
    assert advice in str(error)
    assert "secret" not in str(error)
    assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("reason", ["quotaExceeded", "rateLimitExceeded", "userRateLimitExceeded"])
@pytest.mark.parametrize("status", [400, 403])
def test_a_quota_is_tried_again(reason: str, status: int):
    error = converted(exceptions.from_http_response(response(status, reason, "Quota exceeded: too many loads.")))
    assert isinstance(error, ServiceUnavailableError)
    assert "Quota exceeded: too many loads" in str(error)


def test_the_error_of_an_upload_holds_only_the_response():
    found = response(403, "retentionPolicyNotMet", "Object 'x' is subject to bucket's retention policy.")
    error = converted(exceptions.from_http_status(403, f"POST {found.request.url}: {found.text}", response=found))
    assert "'Object 'x' is subject to bucket's retention policy'" in str(error)


def test_an_answer_that_is_no_json_is_shown_without_the_address():
    found = response(403, "", "")
    found._content = b"<html>\nblocked by a proxy"
    error = converted(exceptions.from_http_response(found))
    assert "'<html>'" in str(error)
    assert "secret" not in str(error)
