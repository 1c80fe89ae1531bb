"""The only reader of the environment: every `TAXI_*` variable, its default and its check.

Secrets are not printed from here: of the variable that holds one, a `Settings` says only whether it is set.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from taxi_assets.errors import SettingsError
from taxi_assets.mail_settings import SmtpServer, addresses

PROJECT_ROOT = Path(__file__).resolve().parent.parent

TLC_ZONES = "https://d37ci6vzurychx.cloudfront.net/misc/taxi_zone_lookup.csv"
TLC_SOURCE = "https://d37ci6vzurychx.cloudfront.net/trip-data/{dataset}_tripdata_{month}.parquet"
LOCAL_PROJECT = "taxi-local"
LOCAL_BUCKET = "taxi-local"
# A UNIX socket's whole path holds at most 107 bytes, of which PostgreSQL's file name takes 17.
MAX_SOCKET_DIR_BYTES = 90

VARIABLES: Mapping[str, str] = {
    "TAXI_ENV": "`local` (default: everything runs on this machine) or `cloud`",
    "TAXI_SOURCE": "`sample`, or comma-separated URL templates with {dataset} and {month}",
    "TAXI_ZONES_SOURCE": "`sample`, or the URL of the zone lookup; TLC's own unless TAXI_SOURCE is `sample`",
    "TAXI_SOURCE_ALLOW_PRIVATE": "`1` or `0`: whether sources may be on this machine or in a private network; "
    "`1` by default with TAXI_ENV=local",
    "TAXI_DATA_DIR": "folder of all local state, `.taxi` in the project by default",
    "TAXI_POSTGRES_URL": "the warehouse database, postgresql://user:password@host:port/database",
    "TAXI_GCP_PROJECT": "Google Cloud project",
    "TAXI_GCS_BUCKET": "bucket of the lake",
    "TAXI_BIGQUERY_DATASET": "BigQuery dataset of the tables, `taxi` by default",
    "TAXI_BIGQUERY_LOCATION": "location of that dataset, `US` by default",
    "TAXI_GCS_EMULATOR": "address of the storage emulator of TAXI_ENV=local, this machine's by default",
    "TAXI_BIGQUERY_EMULATOR": "address of the BigQuery emulator of TAXI_ENV=local, this machine's by default",
    "TAXI_UI_PORT": "port of the local Dagster UI, 3000 by default",
    "TAXI_GCS_PORT": "port of the local storage emulator, 9023 by default",
    "TAXI_BIGQUERY_PORT": "port of the local BigQuery emulator, 9050 by default",
    "TAXI_BIGQUERY_GRPC_PORT": "second (gRPC) port of the local BigQuery emulator, 9060 by default",
    "TAXI_UI_URL": "where people open the UI, for links in alerts; http://127.0.0.1:<TAXI_UI_PORT> by default",
    "TAXI_ALERT_WEBHOOK": "URL of an incoming webhook in Slack's format",
    "TAXI_ALERT_SMTP_URL": "mail server, smtp://user:password@host:587 or smtps://, with ?from= if need be",
    "TAXI_ALERT_EMAIL": "comma-separated addresses that get alerts by that server",
    "TAXI_EXECUTOR": "`in_process` (default: a run takes its steps itself) or `celery` (workers take them)",
    "TAXI_REDIS_URL": "with TAXI_EXECUTOR=celery, the Redis of the workers, redis://:password@host:port/0",
    "TAXI_SAMPLE_ROWS": "rows in each month of the sample source; by default it depends on the month",
}

PORT_DEFAULTS: Mapping[str, int] = {
    "TAXI_UI_PORT": 3000,
    "TAXI_GCS_PORT": 9023,
    "TAXI_BIGQUERY_PORT": 9050,
    "TAXI_BIGQUERY_GRPC_PORT": 9060,
}


# By Google's rules for each.
_NAMES: Mapping[str, tuple[str, str]] = {
    "TAXI_GCP_PROJECT": (
        r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]",
        "a project's id: 6 to 30 lower-case letters, digits and hyphens, such as my-project-123",
    ),
    "TAXI_GCS_BUCKET": (
        r"(?=.{3,222}\Z)[a-z0-9][a-z0-9_-]{0,62}(\.[a-z0-9_-]{1,63})*(?<=[a-z0-9])",
        "a bucket's name, without gs://: 3 to 63 lower-case letters, digits, '-', '_' and '.'",
    ),
    "TAXI_BIGQUERY_DATASET": (r"[A-Za-z0-9_]{1,1024}", "a dataset's name without its project: letters, digits and '_'"),
    "TAXI_BIGQUERY_LOCATION": (r"[A-Za-z][A-Za-z0-9-]{0,62}", "a location such as US, EU or europe-west3"),
}


@dataclass(frozen=True)
class Settings:
    """What the environment says, checked."""

    env: str
    # URLs can hold a password or a signed query, so it is left out of what is printed.
    source: str = field(repr=False)
    source_is_set: bool
    zones_source: str = field(repr=False)
    zones_source_is_set: bool
    source_allow_private: bool
    data_dir: Path
    postgres_url_is_set: bool
    gcp_project: str | None
    gcs_bucket: str | None
    bigquery_dataset: str
    bigquery_location: str
    storage_emulator_host: str | None
    bigquery_emulator_host: str | None
    ui_port: int
    gcs_port: int
    bigquery_port: int
    bigquery_grpc_port: int
    executor: str
    redis_url: str | None = field(repr=False)
    sample_rows: int | None
    ui_url: str
    alert_webhook_is_set: bool
    alert_email_is_set: bool

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read and check all variables.

        Raises:
            SettingsError: a `TAXI_*` name that is not known, or a value that is not allowed.
        """
        unknown = sorted(name for name in environ if name.startswith("TAXI_") and name not in VARIABLES)
        if unknown:
            raise SettingsError(
                f"{unknown[0]} is set but is no setting of this project. Known are: {', '.join(VARIABLES)}."
            )
        env = environ.get("TAXI_ENV") or "local"
        if env not in ("local", "cloud"):
            raise SettingsError(f"TAXI_ENV is {env!r}; it can be `local` or `cloud`.")
        local = env == "local"
        ports = {name: _port(environ, name) for name in PORT_DEFAULTS}
        return cls(
            env=env,
            source=_source(environ, local),
            source_is_set=bool(environ.get("TAXI_SOURCE")),
            zones_source=_zones_source(environ, local),
            zones_source_is_set=bool(environ.get("TAXI_ZONES_SOURCE")),
            # A laptop's files may be served by itself; in the cloud a private address is more likely a trap.
            source_allow_private=_switch(environ, "TAXI_SOURCE_ALLOW_PRIVATE", local),
            data_dir=Path(environ.get("TAXI_DATA_DIR") or PROJECT_ROOT / ".taxi").expanduser().absolute(),
            postgres_url_is_set=bool(environ.get("TAXI_POSTGRES_URL")),
            gcp_project=_name(environ, "TAXI_GCP_PROJECT") or (LOCAL_PROJECT if local else None),
            gcs_bucket=_name(environ, "TAXI_GCS_BUCKET") or (LOCAL_BUCKET if local else None),
            bigquery_dataset=_name(environ, "TAXI_BIGQUERY_DATASET") or "taxi",
            bigquery_location=_name(environ, "TAXI_BIGQUERY_LOCATION") or "US",
            storage_emulator_host=environ.get("STORAGE_EMULATOR_HOST") or _emulator(environ, "TAXI_GCS", local),
            bigquery_emulator_host=environ.get("BIGQUERY_EMULATOR_HOST") or _emulator(environ, "TAXI_BIGQUERY", local),
            ui_port=ports["TAXI_UI_PORT"],
            gcs_port=ports["TAXI_GCS_PORT"],
            bigquery_port=ports["TAXI_BIGQUERY_PORT"],
            bigquery_grpc_port=ports["TAXI_BIGQUERY_GRPC_PORT"],
            executor=_executor(environ),
            redis_url=_redis_url(environ),
            sample_rows=_positive(environ, "TAXI_SAMPLE_ROWS"),
            ui_url=_web_address(environ, "TAXI_UI_URL").rstrip("/") or f"http://127.0.0.1:{ports['TAXI_UI_PORT']}",
            alert_webhook_is_set=bool(_web_address(environ, "TAXI_ALERT_WEBHOOK")),
            alert_email_is_set=_alert_email_is_set(environ),
        )

    @property
    def socket_dir(self) -> Path:
        """Folder of the local PostgreSQL's UNIX socket: in the data folder unless its path is too long."""
        inside = self.data_dir / "run"
        if len(os.fsencode(inside)) <= MAX_SOCKET_DIR_BYTES:
            return inside
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"taxi-{digest}"

    def local_postgres_url(self, database: str, driver: str = "postgresql") -> str:
        """URL of a database on the local PostgreSQL; it has no password, the socket's folder guards it."""
        # The port names the socket's file; unsaid, a PGPORT of the user's would.
        return f"{driver}://postgres@/{database}?host={quote(str(self.socket_dir))}&port=5432"


def split_templates(text: str) -> list[str]:
    """Split TAXI_SOURCE at its commas. A comma splits only before a scheme or `sample`: a signed query may hold one."""
    parts = re.split(r",\s*(?=(?:https?|file)://|sample\s*(?:,|$))", text)
    return [part.strip(" ,") for part in parts if part.strip(" ,")]


def _source(environ: Mapping[str, str], local: bool) -> str:
    source = environ.get("TAXI_SOURCE")
    if not source:
        # TLC's own address for every month; a cloud deployment must never load samples by omission.
        return "sample" if local else TLC_SOURCE
    if source == "sample":
        return source
    for template in split_templates(source):
        if not template.startswith(("https://", "http://", "file://")):
            raise SettingsError(
                "TAXI_SOURCE has an entry that is neither `sample` nor begins with https://, http:// or file://."
            )
        if "{month}" not in template.partition("?")[0].rsplit("/", 1)[-1]:
            raise SettingsError("TAXI_SOURCE has a template whose file name lacks {month}, as in 'x_{month}.parquet'.")
    return source


def _zones_source(environ: Mapping[str, str], local: bool) -> str:
    source = environ.get("TAXI_ZONES_SOURCE") or ("sample" if _source(environ, local) == "sample" else TLC_ZONES)
    if source != "sample" and not source.startswith(("https://", "http://", "file://")):
        raise SettingsError("TAXI_ZONES_SOURCE is neither `sample` nor begins with https://, http:// or file://.")
    return source


def _name(environ: Mapping[str, str], variable: str) -> str | None:
    """Return a name that becomes part of statements and addresses, which Google's client does not quote."""
    text = environ.get(variable)
    pattern, rule = _NAMES[variable]
    if text and not re.fullmatch(pattern, text):
        raise SettingsError(f"{variable} is {text!r}; it must be {rule}.")
    return text


def _web_address(environ: Mapping[str, str], name: str) -> str:
    address = environ.get(name) or ""
    if address and not address.startswith(("https://", "http://")):
        # Not repeated: a webhook's address is its key.
        raise SettingsError(f"{name} does not begin with https:// or http://.")
    return address


def _alert_email_is_set(environ: Mapping[str, str]) -> bool:
    server, people = environ.get("TAXI_ALERT_SMTP_URL"), environ.get("TAXI_ALERT_EMAIL")
    if not server and not people:
        return False
    if not server or not people:
        one, other = ("SMTP_URL", "EMAIL") if server else ("EMAIL", "SMTP_URL")
        raise SettingsError(f"TAXI_ALERT_{one} is set, but TAXI_ALERT_{other} is not; e-mail needs both.")
    SmtpServer.parse(server)
    addresses(people)
    return True


def _emulator(environ: Mapping[str, str], prefix: str, local: bool) -> str | None:
    if not local:
        # A leftover of another environment must not divert a cloud deployment.
        return None
    return environ.get(f"{prefix}_EMULATOR") or f"http://127.0.0.1:{_port(environ, f'{prefix}_PORT')}"


def _executor(environ: Mapping[str, str]) -> str:
    executor = environ.get("TAXI_EXECUTOR") or "in_process"
    if executor not in ("in_process", "celery"):
        raise SettingsError(f"TAXI_EXECUTOR is {executor!r}; it can be `in_process` or `celery`.")
    return executor


def _redis_url(environ: Mapping[str, str]) -> str | None:
    url = environ.get("TAXI_REDIS_URL") or None
    if url is None and _executor(environ) == "celery":
        raise SettingsError("TAXI_EXECUTOR=celery needs TAXI_REDIS_URL; set it to redis://:password@host:port/0.")
    if url is not None and not url.startswith(("redis://", "rediss://")):
        raise SettingsError("TAXI_REDIS_URL does not begin with redis:// or rediss://.")
    return url


def _port(environ: Mapping[str, str], name: str) -> int:
    port = _positive(environ, name) or PORT_DEFAULTS[name]
    if port > 65535:
        raise SettingsError(f"{name} is {port}; a port is at most 65535.")
    return port


def _switch(environ: Mapping[str, str], name: str, default: bool) -> bool:
    text = environ.get(name)
    if text not in (None, "", "0", "1"):
        raise SettingsError(f"{name} is {text!r}; it can be 1 or 0.")
    return text == "1" if text else default


def _positive(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise SettingsError(f"{name} is {text!r}; it must be a whole number above 0.")
    return int(text)
