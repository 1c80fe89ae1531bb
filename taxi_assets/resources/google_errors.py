"""What the lake and BigQuery share: credentials, patience, and Google's errors told in a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
from google.cloud.storage.exceptions import DataCorruption

from taxi_assets.errors import ServiceError, ServiceUnavailableError

# How long a call is repeated while the service does not answer; Google's own default is ten minutes.
PATIENCE_SECONDS = 30.0

# What BigQuery says when another transaction changed the table meanwhile.
CONCURRENT = "concurrent update"

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
    """Arguments of a Google client: an emulator takes anonymous credentials, Google finds its own."""
    if emulator_host is None:
        return {}
    host = emulator_host if "://" in emulator_host else f"http://{emulator_host}"
    return {"credentials": AnonymousCredentials(), "client_options": {"api_endpoint": host}}


def first_line(text: object) -> str:
    """What an error says, without its further lines and without a stop."""
    lines = str(text).strip().splitlines()
    return lines[0].rstrip(". ") if lines else "without a word"


@contextmanager
def google_errors(what: str, emulator_host: str | None, missing: str) -> Iterator[None]:
    """Raise Google's errors as the project's own; `missing` is the sentence for what is not there.

    Raises:
        ServiceError: not there, not allowed, no credentials.
        ServiceUnavailableError: no answer.
    """
    try:
        yield
    except (DefaultCredentialsError, RefreshError) as error:
        raise ServiceError(
            f"No usable Google credentials for {what}; run `gcloud auth application-default login`, or set "
            "GOOGLE_APPLICATION_CREDENTIALS to the path of a service account's key file."
        ) from error
    except exceptions.NotFound as error:
        raise ServiceError(missing) from error
    except (exceptions.Forbidden, exceptions.Unauthorized) as error:
        raise ServiceError(
            f"Google refuses access to {what} (HTTP {error.code}); give the account the roles that the README names."
        ) from error
    except _GONE as error:
        hint = f"it should be at {emulator_host}, is `taxi up` running?" if emulator_host else "try again later."
        raise ServiceUnavailableError(f"{what} does not answer ({type(error).__name__}); {hint}") from error
    except exceptions.BadRequest as error:
        if CONCURRENT in str(error):
            raise ServiceUnavailableError(
                f"{what} was changed by another run at the same instant; run it again."
            ) from error
        raise ServiceError(
            f"Google refuses what was asked of {what}, '{first_line(error.message)}'; check the names and places in "
            "the settings."
        ) from error
    except exceptions.GoogleAPICallError as error:
        # What is left may pass: a transaction that another one overtook, a quota, a precondition.
        raise ServiceUnavailableError(
            f"Google answered HTTP {error.code} for {what}, '{first_line(error.message)}'; run it again, and if that "
            "does not help, materialize the asset before this one again."
        ) from error
