"""What the lake and BigQuery share: credentials, the retry timeout, and the conversion of Google's errors."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
from google.cloud.storage.exceptions import DataCorruption

from taxi_assets.errors import DOCTOR, ServiceError, ServiceUnavailableError

# How long a call is retried while the service is unavailable; Google's own default is ten minutes.
PATIENCE_SECONDS = 30.0

# Part of BigQuery's error text when another transaction changed the table meanwhile.
CONCURRENT = "concurrent update"

# Quotas that fill again by themselves; Google reports most of them as HTTP 403.
_QUOTAS = frozenset(
    ("quotaExceeded", "rateLimitExceeded", "userRateLimitExceeded", "jobRateLimitExceeded", "RATE_LIMIT_EXCEEDED")
)
_BILLING = "enable billing of the project, or set TAXI_GCP_PROJECT to one that has it"
_RETENTION = (
    "months are replaced when their files change, so use a bucket without retention policy, holds and object lock "
    "(object versioning or soft delete keep old objects, too), or wait until the date passes"
)
_ROLES = "give the account the roles in docs/cloud.md"
# What to do by Google's reason.
_ADVICE: Mapping[str, str] = {
    "billingNotEnabled": _BILLING,
    "billingDisabled": _BILLING,
    "BILLING_DISABLED": _BILLING,
    "accountDisabled": _BILLING,
    "retentionPolicyNotMet": _RETENTION,
    "objectUnderActiveHold": _RETENTION,
    "accessNotConfigured": "enable the API in the project",
    "SERVICE_DISABLED": "enable the API in the project",
    "accessDenied": _ROLES,
    "forbidden": _ROLES,
    "insufficientPermissions": _ROLES,
}
# What to do by words in Google's sentence, where the reason is the same for several causes; in lower case.
_ADVICE_BY_WORDS: Mapping[str, str] = {
    "vpcservicecontrols": "ask the administrator of the service perimeter to admit this account and network",
    "organization's policy": "ask the administrator of the organization's policy to admit this account and network",
    "requester pays": "set TAXI_GCP_BILLED_PROJECT to the project that pays for requests to the bucket",
    "serviceusage.services.use": "give the account roles/serviceusage.serviceUsageConsumer on the billed project",
    "user project": "set TAXI_GCP_BILLED_PROJECT to a project that exists and that the account may use",
    "retention policy": _RETENTION,
}

# What Google's client puts before a response's text.
_REQUEST = re.compile(r"^[A-Z]+ https?://\S+: ")

_GONE = (
    exceptions.RetryError,
    exceptions.ServerError,
    exceptions.TooManyRequests,
    requests.ConnectionError,
    requests.Timeout,
    TransportError,
    TimeoutError,
    DataCorruption,
)


def client_arguments(emulator_host: str | None) -> dict[str, Any]:
    """Return the arguments of a Google client; an emulator gets anonymous credentials."""
    if emulator_host is None:
        return {}
    host = emulator_host if "://" in emulator_host else f"http://{emulator_host}"
    return {"credentials": AnonymousCredentials(), "client_options": {"api_endpoint": host}}


def first_line(text: object) -> str:
    """Return the first line of an error's text, without its final stop."""
    lines = str(text).strip().splitlines()
    return lines[0].rstrip(". ") if lines else "without a word"


def reason_of(error: exceptions.GoogleAPICallError) -> str:
    """Return Google's reason, such as `accessDenied`; empty if the response has none."""
    entry = _first_entry(error)
    return str(entry.get("reason") or error.reason or "")


def sentence_of(error: exceptions.GoogleAPICallError) -> str:
    """Return Google's own sentence, without the request's address and without its final stop."""
    message = _first_entry(error).get("message")
    return first_line(message or _REQUEST.sub("", str(error.message)))[:400]


def _first_entry(error: exceptions.GoogleAPICallError) -> Mapping[str, Any]:
    entries = [entry for entry in error.errors if isinstance(entry, Mapping)]
    if not entries and error.response is not None:
        # The errors of uploads hold only the response.
        try:
            found = error.response.json()["error"]
            entries = found.get("errors") or [found]
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
    return entries[0] if entries and isinstance(entries[0], Mapping) else {}


def _advice(error: exceptions.GoogleAPICallError) -> str | None:
    text = sentence_of(error).lower()
    by_words = next((advice for words, advice in _ADVICE_BY_WORDS.items() if words in text), None)
    return by_words or _ADVICE.get(reason_of(error))


def _refusal(what: str, error: exceptions.GoogleAPICallError, otherwise: str) -> ServiceError | ServiceUnavailableError:
    """Return the error for a request that Google refuses, by its reason and with its own sentence."""
    reason, sentence = reason_of(error), sentence_of(error)
    if reason in _QUOTAS:
        return ServiceUnavailableError(
            f"A quota of Google for {what} is used up ({reason}: '{sentence}'); it is tried again, and if that does "
            "not help, load fewer months at once or ask Google for more."
        )
    return ServiceError(
        f"Google refuses access to {what} (HTTP {error.code}{reason and f', {reason}'}: '{sentence}'); "
        f"{_advice(error) or otherwise}. {DOCTOR}"
    )


@contextmanager
def google_errors(what: str, emulator_host: str | None, missing: str) -> Iterator[None]:
    """Convert Google's errors to the project's own; `missing` is the text for an object that does not exist.

    Raises:
        ServiceError: It does not exist, access is denied, or there are no credentials.
        ServiceUnavailableError: The service does not respond.
    """
    try:
        yield
    except (DefaultCredentialsError, RefreshError) as error:
        raise ServiceError(
            f"No usable Google credentials for {what}; run `gcloud auth application-default login`, or set "
            f"GOOGLE_APPLICATION_CREDENTIALS to the path of a service account's key file. {DOCTOR}"
        ) from error
    except exceptions.NotFound as error:
        raise ServiceError(f"{missing} {DOCTOR}") from error
    except (exceptions.Forbidden, exceptions.Unauthorized) as error:
        raise _refusal(what, error, f"resolve what Google names, or {_ROLES}") from error
    except _GONE as error:
        hint = f"it should be at {emulator_host}, is `taxi up` running?" if emulator_host else "try again later."
        name = type(error).__name__
        raise ServiceUnavailableError(f"{what} does not answer ({name}); {hint} {DOCTOR}") from error
    except exceptions.BadRequest as error:
        if CONCURRENT in str(error):
            raise ServiceUnavailableError(
                f"{what} was changed by another run at the same instant; run it again."
            ) from error
        if reason_of(error) in _QUOTAS or _advice(error):
            raise _refusal(what, error, "check the settings") from error
        raise ServiceError(
            f"Google refuses the request to {what}, '{sentence_of(error)}'; check the names and places in the settings."
        ) from error
    except exceptions.GoogleAPICallError as error:
        # The other errors may be transient: a conflicting transaction, a quota, a precondition.
        raise ServiceUnavailableError(
            f"Google answered HTTP {error.code} for {what}, '{sentence_of(error)}'; run it again, and if that "
            "does not help, materialize the asset before this one again."
        ) from error
