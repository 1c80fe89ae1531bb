"""The errors that a user can cause or meet, each one sentence of what was found and what to do.

Anything else that is raised is a defect of this project and keeps its traceback.
"""

# How the errors of settings, networks and rights end: the command looks for all such causes at once.
DOCTOR = "`taxi doctor` checks this."


class TaxiError(Exception):
    """Base of all errors meant for people; `retryable` is whether waiting may help."""

    retryable = False


class SettingsError(TaxiError):
    """A setting is missing, unknown or contradicts another."""


class NotPublishedError(TaxiError):
    """The source has no file for this month (yet)."""


class SourceError(TaxiError):
    """The source responded with something that another request will not change (403, a redirect loop)."""


class SourceUnavailableError(TaxiError):
    """The source is down, slow or limits requests (429, 5xx, timeouts, broken connections)."""

    retryable = True


class BadFileError(TaxiError):
    """A file is not what it claims to be: an error page, a torn gzip, a Parquet without footer, empty."""


class ContractError(TaxiError):
    """A file's columns are not those of its dataset's data contract."""


class ServiceError(TaxiError):
    """The bucket, BigQuery, PostgreSQL or a local service is not as needed and stays so."""


class ServiceUnavailableError(TaxiError):
    """The bucket, BigQuery or PostgreSQL did not answer, which may pass."""

    retryable = True


class AuditError(TaxiError):
    """What a sink holds differs from what was sent; nothing was published."""

    retryable = True


class SupersededError(TaxiError):
    """A newer month was published while this one was loaded; the older one was not published."""

    retryable = True


class DiskFullError(TaxiError):
    """No space is left on the disk that holds the local cache."""
