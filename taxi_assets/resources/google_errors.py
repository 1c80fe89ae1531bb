"""What the lake and BigQuery share: credentials, the retry timeout, and the conversion of Google's errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
from google.cloud.storage.exceptions import DataCorruption

from taxi_assets.errors import ServiceError, ServiceUnavailableError

# How long a call is retried while the service is unavailable; Google's own default is ten minutes.
PATIENCE_SECONDS = 30.0

# Part of BigQuery's error text when another transaction changed the table meanwhile.
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
    """Return the arguments of a Google client; an emulator gets anonymous credentials."""
    if emulator_host is None:
        return {}
    host = emulator_host if "://" in emulator_host else f"http://{emulator_host}"
    return {"credentials": AnonymousCredentials(), "client_options": {"api_endpoint": host}}


def first_line(text: object) -> str:
    """Return the first line of an error's text, without its final stop."""
    lines = str(text).strip().splitlines()
    return lines[0].rstrip(". ") if lines else "without a word"


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
            "GOOGLE_APPLICATION_CREDENTIALS to the path of a service account's key file."
        ) from error
    except exceptions.NotFound as error:
        raise ServiceError(missing) from error
    except (exceptions.Forbidden, exceptions.Unauthorized) as error:
        raise ServiceError(
            f"Google refuses access to {what} (HTTP {error.code}); give the account the roles in docs/cloud.md."
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
            f"Google refuses the request to {what}, '{first_line(error.message)}'; check the names and places in "
            "the settings."
        ) from error
    except exceptions.GoogleAPICallError as error:
        # The other errors may be transient: a conflicting transaction, a quota, a precondition.
        raise ServiceUnavailableError(
            f"Google answered HTTP {error.code} for {what}, '{first_line(error.message)}'; run it again, and if that "
            "does not help, materialize the asset before this one again."
        ) from error
