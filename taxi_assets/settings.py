"""All settings: every `TAXI_*` variable with its meaning, default and check. Nothing else reads them.

docs/settings.md and .env.example are generated from the fields below (`taxi_assets.cli.settings_document`).
"""

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from taxi_assets.errors import SettingsError
from taxi_assets.mail_settings import SmtpServer, addresses

PROJECT_ROOT = Path(__file__).resolve().parent.parent
PREFIX = "TAXI_"

TLC_ZONES = "https://d37ci6vzurychx.cloudfront.net/misc/taxi_zone_lookup.csv"
TLC_ZONE_SHAPES = "https://d37ci6vzurychx.cloudfront.net/misc/taxi_zones.zip"
TLC_SOURCE = "https://d37ci6vzurychx.cloudfront.net/trip-data/{dataset}_tripdata_{month}.parquet"
SAMPLE = "sample"
GOOGLE_VARIABLES = ("STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST")
LOCAL_PROJECT = "taxi-local"
LOCAL_BUCKET = "taxi-local"
# The path of a UNIX socket holds at most 107 bytes, of which PostgreSQL's file name takes 17.
MAX_SOCKET_DIR_BYTES = 90
# Kubernetes gives each pod such variables for each Service; one named `taxi-...` has the prefix of our settings.
_SERVICE_LINK = re.compile(r"TAXI_\w+_(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_(TCP|UDP)\w*)", re.ASCII)


def split_templates(text: str) -> list[str]:
    """Split TAXI_SOURCE at its commas. A comma splits only before a scheme or `sample`: a signed query may hold one."""
    parts = re.split(r",\s*(?=(?:https?|file)://|sample\s*(?:,|$))", text)
    return [part.strip(" ,") for part in parts if part.strip(" ,")]


def _variable(info: ValidationInfo) -> str:
    return f"{PREFIX}{(info.field_name or '').upper()}"


_CHOICES: Mapping[str, tuple[str, str]] = {
    "env": ("local", "cloud"),
    "executor": ("in_process", "celery"),
    "run_start": ("fork_server", "spawn"),
    "spark": ("local", "dataproc"),
    "zoned_times": ("convert", "as_wall_clock"),
    "unknown_columns": ("freeze", "discard"),
}


def _choice(value: str, info: ValidationInfo) -> str:
    known = _CHOICES[info.field_name or ""]
    if value not in known:
        raise ValueError(f"{_variable(info)} is {value!r}; it can be `{known[0]}` or `{known[1]}`.")
    return value


def _whole_number(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str):
        if not value.isascii() or not value.isdigit() or int(value) == 0:
            raise ValueError(f"{_variable(info)} is {value!r}; it must be a whole number above 0.")
        value = int(value)
    return value


def _port(value: int, info: ValidationInfo) -> int:
    if value > 65535:
        raise ValueError(f"{_variable(info)} is {value}; a port is at most 65535.")
    return value


def _switch(value: Any, info: ValidationInfo) -> Any:
    if value not in (True, False, "0", "1"):
        raise ValueError(f"{_variable(info)} is {value!r}; it can be 1 or 0.")
    return value in (True, "1")


def _web_address(value: str, info: ValidationInfo) -> str:
    if not value.startswith(("https://", "http://")):
        # The value is not repeated: the address of a webhook is its key.
        raise ValueError(f"{_variable(info)} does not begin with https:// or http://.")
    return value.rstrip("/") if info.field_name == "ui_url" else value


def _secret_web_address(value: SecretStr, info: ValidationInfo) -> SecretStr:
    _web_address(value.get_secret_value(), info)
    return value


def _redis_address(value: str, info: ValidationInfo) -> str:
    if not value.startswith(("redis://", "rediss://")):
        raise ValueError(f"{_variable(info)} does not begin with redis:// or rediss://.")
    return value


# What a template of TAXI_SOURCE may hold.
PLACEHOLDERS = ("dataset", "month", "year", "month_number", "first_day", "next_first_day")


def _source(value: str) -> str:
    if value == SAMPLE:
        return value
    for template in split_templates(value):
        if not template.startswith(("https://", "http://", "file://")):
            raise ValueError(
                "TAXI_SOURCE has an entry that is neither `sample` nor begins with https://, http:// or file://."
            )
        held = set(re.findall(r"\{(\w+)\}", template))
        if unknown := sorted(held - set(PLACEHOLDERS)):
            raise ValueError(
                f"TAXI_SOURCE has a template with {{{unknown[0]}}}; there are "
                f"{', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}."
            )
        path, _, query = template.partition("?")
        named = "{month}" in path.rsplit("/", 1)[-1] or "{month}" in query
        if not named and "first_day" not in held and not held >= {"year", "month_number"}:
            raise ValueError(
                "TAXI_SOURCE has a template whose file name lacks {month}, as in 'x_{month}.parquet'; {first_day}, or "
                "{year} and {month_number}, would do, too."
            )
    return value


def _one_source(value: str, info: ValidationInfo) -> str:
    if value != SAMPLE and not value.startswith(("https://", "http://", "file://")):
        raise ValueError(f"{_variable(info)} is neither `sample` nor begins with https://, http:// or file://.")
    return value


def _absolute(value: Path) -> Path:
    return value.expanduser().absolute()


# By Google's rules for each. The names become parts of statements and addresses, which Google's client does not quote.
_PROJECT = (
    r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]",
    "a project's id: 6 to 30 lower-case letters, digits and hyphens, such as my-project-123",
)
_NAMES: Mapping[str, tuple[str, str]] = {
    "gcp_project": _PROJECT,
    "gcp_billed_project": _PROJECT,
    "gcs_bucket": (
        r"(?=.{3,222}\Z)[a-z0-9][a-z0-9_-]{0,62}(\.[a-z0-9_-]{1,63})*(?<=[a-z0-9])",
        "a bucket's name, without gs://: 3 to 63 lower-case letters, digits, '-', '_' and '.'",
    ),
    "bigquery_dataset": (r"[A-Za-z0-9_]{1,1024}", "a dataset's name without its project: letters, digits and '_'"),
    "dataproc_cluster": (
        r"[a-z]([a-z0-9-]{0,49}[a-z0-9])?",
        "a cluster's name: up to 51 lower-case letters, digits and hyphens, the first a letter",
    ),
    "dataproc_region": (r"[a-z]+-[a-z]+[0-9]+", "a region such as us-central1"),
    "bigquery_location": (r"[A-Za-z][A-Za-z0-9-]{0,62}", "a location such as US, EU or europe-west3"),
}


def _google_name(value: str | None, info: ValidationInfo) -> str | None:
    pattern, rule = _NAMES[info.field_name or ""]
    if value and not re.fullmatch(pattern, value):
        raise ValueError(f"{_variable(info)} is {value!r}; it must be {rule}.")
    return value


def _local_only(value: str | None) -> Any:
    return lambda data: value if data.get("env") == "local" else None


def _emulator_host(kind: str) -> Any:
    """Return a default for an emulator's address. With TAXI_ENV=cloud there is none, whatever is left over."""

    def default(data: dict[str, Any]) -> str | None:
        if data.get("env") != "local":
            return None
        return data.get(f"{kind}_emulator") or f"http://127.0.0.1:{data.get(f'{kind}_port')}"

    return default


Choice = BeforeValidator(_choice)
Port = Annotated[int, BeforeValidator(_whole_number), AfterValidator(_port)]
GoogleName = AfterValidator(_google_name)


class Settings(BaseSettings):
    """The settings of an environment, checked. No secret shows in its text.

    A field's variable is its name in upper case with the prefix `TAXI_`. An empty variable counts as not set.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, populate_by_name=True, validate_default=False)

    env: Annotated[Literal["local", "cloud"], Choice] = Field(
        "local", description="`local`: everything runs on this machine. `cloud`: Google Cloud and a PostgreSQL of yours"
    )
    # URLs can hold a password or a signed query, so they are left out of what is printed.
    source: Annotated[str, AfterValidator(_source)] = Field(
        # A cloud deployment must never load samples by omission.
        default_factory=lambda data: SAMPLE if data.get("env") == "local" else TLC_SOURCE,
        repr=False,
        description="`sample`, or comma-separated URL templates with `{dataset}`, `{month}` (`YYYY-MM`), `{year}`, "
        "`{month_number}`, `{first_day}` and `{next_first_day}`, tried in order; `sample` with `local`, TLC's own "
        "address with `cloud`",
        examples=[TLC_SOURCE],
    )
    zones_source: Annotated[str, AfterValidator(_one_source)] = Field(
        default_factory=lambda data: SAMPLE if data.get("source", SAMPLE) == SAMPLE else TLC_ZONES,
        repr=False,
        description="`sample`, or the URL of the zone lookup; TLC's own unless TAXI_SOURCE is `sample`",
        examples=[TLC_ZONES],
    )
    zone_shapes_source: Annotated[str, AfterValidator(_one_source)] = Field(
        default_factory=lambda data: SAMPLE if data.get("zones_source", SAMPLE) == SAMPLE else TLC_ZONE_SHAPES,
        repr=False,
        description="`sample`, or the URL of the zones' packed shapefile; TLC's own unless TAXI_ZONES_SOURCE is "
        "`sample`",
        examples=[TLC_ZONE_SHAPES],
    )
    source_allow_private: Annotated[bool, BeforeValidator(_switch)] = Field(
        # A laptop's files may be served by itself; in the cloud a private address is more likely a trap.
        default_factory=lambda data: data.get("env") == "local",
        description="`1`: sources may have addresses of this machine and of private networks (default with `local`); "
        "`0`: only public ones (default with `cloud`)",
        examples=["1"],
    )
    zoned_times: Annotated[Literal["convert", "as_wall_clock"] | None, Choice] = Field(
        None,
        description="how times marked UTC are read: `convert` to New York's clock, or `as_wall_clock`, since some "
        "programs mark New York's times so; without it such a month stops",
        examples=["convert"],
    )
    unknown_columns: Annotated[Literal["freeze", "discard"], Choice] = Field(
        "freeze",
        description="columns that the contract does not know: `freeze` stops the month and names them, `discard` loads "
        "it without them",
    )
    data_dir: Annotated[Path, AfterValidator(_absolute)] = Field(
        PROJECT_ROOT / ".taxi",
        description="folder of all local state, `.taxi` in the project by default; delete it to start from nothing",
        examples=["/var/lib/taxi"],
    )
    postgres_url: SecretStr | None = Field(
        None,
        description="the warehouse database; needed with `cloud`",
        examples=["postgresql://user:password@host:5432/database"],
    )
    gcp_project: Annotated[str | None, GoogleName] = Field(
        default_factory=_local_only(LOCAL_PROJECT),
        description="Google Cloud project; needed with `cloud`",
        examples=["my-project"],
    )
    gcp_billed_project: Annotated[str | None, GoogleName] = Field(
        None,
        description="project that pays for requests to the bucket, if its requesters pay",
        examples=["my-billing-project"],
    )
    gcs_bucket: Annotated[str | None, GoogleName] = Field(
        default_factory=_local_only(LOCAL_BUCKET),
        description="bucket of the lake; needed with `cloud`, where it must exist",
        examples=["my-taxi-lake"],
    )
    bigquery_dataset: Annotated[str, GoogleName] = Field(
        "taxi", description="BigQuery dataset of the tables, made if it does not exist"
    )
    bigquery_location: Annotated[str, GoogleName] = Field(
        "US", description="location of that dataset, which must be the bucket's"
    )
    ui_port: Port = Field(3000, description="port of the local Dagster UI")
    gcs_port: Port = Field(9023, description="port of the local storage emulator")
    bigquery_port: Port = Field(9050, description="port of the local BigQuery emulator")
    bigquery_grpc_port: Port = Field(9060, description="second (gRPC) port of the local BigQuery emulator")
    gcs_emulator: str | None = Field(
        None,
        description="address of the storage emulator with `local`, if it is on another machine",
        examples=["http://host:9023"],
    )
    bigquery_emulator: str | None = Field(
        None,
        description="address of the BigQuery emulator with `local`, if it is on another machine",
        examples=["http://host:9050"],
    )
    # Google's own variables.
    storage_emulator_host: str | None = Field(
        validation_alias="STORAGE_EMULATOR_HOST", default_factory=_emulator_host("gcs")
    )
    bigquery_emulator_host: str | None = Field(
        validation_alias="BIGQUERY_EMULATOR_HOST", default_factory=_emulator_host("bigquery")
    )
    ui_url: Annotated[str, AfterValidator(_web_address)] = Field(
        default_factory=lambda data: f"http://127.0.0.1:{data.get('ui_port')}",
        description="where people open the UI, for the links in alerts; the local address by default",
        examples=["https://taxi.example.org"],
    )
    alert_webhook: Annotated[SecretStr | None, AfterValidator(_secret_web_address)] = Field(
        None,
        description="URL of an incoming webhook in Slack's format; the address is its key",
        examples=["https://hooks.slack.com/services/..."],
    )
    alert_smtp_url: SecretStr | None = Field(
        None,
        description="mail server: `smtp://` with STARTTLS or `smtps://`; user and password percent-encoded; `?from=` "
        "sets the sender",
        examples=["smtp://user:password@smtp.example.org:587?from=taxi@example.org"],
    )
    alert_email: SecretStr | None = Field(
        None,
        description="comma-separated addresses that get alerts by that server",
        examples=["someone@example.org,another@example.org"],
    )
    executor: Annotated[Literal["in_process", "celery"], Choice] = Field(
        "in_process", description="`in_process`: a run executes its steps itself. `celery`: workers execute them"
    )
    run_start: Annotated[Literal["fork_server", "spawn"], Choice] = Field(
        # Elsewhere, libraries of the system do not survive a fork.
        default_factory=lambda: "fork_server" if sys.platform == "linux" else "spawn",
        description="how a run's process starts. `fork_server` (default on Linux): as a fork of one that has the code. "
        "`spawn`: it imports the code itself, which takes seconds",
        examples=["spawn"],
    )
    spark: Annotated[Literal["local", "dataproc"], Choice] = Field(
        "local",
        description="where Spark makes the years of history. `local`: on this machine, which needs Java. `dataproc`: "
        "on a cluster in Google Cloud",
    )
    dataproc_cluster: Annotated[str | None, GoogleName] = Field(
        None, description="name of the Dataproc cluster; needed with TAXI_SPARK=dataproc", examples=["taxi-history"]
    )
    dataproc_region: Annotated[str | None, GoogleName] = Field(
        None, description="region of the Dataproc cluster; needed with TAXI_SPARK=dataproc", examples=["us-central1"]
    )
    redis_url: Annotated[str | None, AfterValidator(lambda v, info: v and _redis_address(v, info))] = Field(
        None,
        repr=False,
        description="the Redis of the workers, needed with TAXI_EXECUTOR=celery; compose sets it",
        examples=["redis://:password@host:6379/0"],
    )
    allow_emulators: Annotated[bool, BeforeValidator(_switch)] = Field(
        False,
        description="`1`: with `cloud`, emulators and the local stack's database may stand in for it, as in tests",
        examples=["1"],
    )
    sample_rows: Annotated[int | None, BeforeValidator(_whole_number)] = Field(
        None,
        description="rows in each month of the sample source; by default it depends on the month",
        examples=["3000"],
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read and check all variables.

        Raises:
            SettingsError: A `TAXI_*` name is not known, or a value is not allowed.
        """
        ours = {n: v for n, v in environ.items() if n.startswith(PREFIX) and not _is_service_link(n, v)}
        for name in sorted(ours):
            if name not in VARIABLES:
                raise SettingsError(
                    f"{name} is set but is no setting of this project. Known are: {', '.join(VARIABLES)}."
                )
        reader = EnvSettingsSource(cls)
        known = ours | {name: environ.get(name, "") for name in GOOGLE_VARIABLES}
        # The reader compares names in lower case.
        reader.env_vars = {name.lower(): value for name, value in known.items() if value}
        try:
            return cls(**reader())
        except ValidationError as error:
            # pydantic's own text repeats the value, which may be a secret.
            message = error.errors(include_input=False, include_url=False)[0]["msg"]
            raise SettingsError(message.removeprefix("Value error, ")) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (the signature is pydantic's)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing but what `from_environment` passes, so that a test's environment is its own."""
        return (init_settings,)

    @model_validator(mode="after")
    def _check_what_belongs_together(self) -> "Settings":
        self._check_that_the_cloud_is_meant()
        if self.executor == "celery" and self.redis_url is None:
            raise ValueError("TAXI_EXECUTOR=celery needs TAXI_REDIS_URL; set it to redis://:password@host:port/0.")
        if self.spark == "dataproc" and not (self.dataproc_cluster and self.dataproc_region):
            raise ValueError("TAXI_SPARK=dataproc needs TAXI_DATAPROC_CLUSTER and TAXI_DATAPROC_REGION; set both.")
        if bool(self.alert_smtp_url) != bool(self.alert_email):
            one, other = ("SMTP_URL", "EMAIL") if self.alert_smtp_url else ("EMAIL", "SMTP_URL")
            raise ValueError(f"TAXI_ALERT_{one} is set, but TAXI_ALERT_{other} is not; e-mail needs both.")
        if self.alert_smtp_url and self.alert_email:
            SmtpServer.parse(self.alert_smtp_url.get_secret_value())
            addresses(self.alert_email.get_secret_value())
        return self

    def _check_that_the_cloud_is_meant(self) -> None:
        """Reject leftovers of the local stack's shell, by which a cloud run would end in the emulators."""
        if self.env == "local" or self.allow_emulators:
            return
        local_url = self.local_postgres_url("taxi")
        leftovers = {
            "STORAGE_EMULATOR_HOST": self.storage_emulator_host,
            "BIGQUERY_EMULATOR_HOST": self.bigquery_emulator_host,
            "TAXI_POSTGRES_URL": self.postgres_url and self.postgres_url.get_secret_value() == local_url,
        }
        if names := [name for name, is_left in leftovers.items() if is_left]:
            raise ValueError(
                f"TAXI_ENV is cloud, but {' and '.join(names)} of the local stack would be used. Unset them with "
                'eval "$(taxi env)" in this shell, or set TAXI_ALLOW_EMULATORS=1 if that is what you want.'
            )

    def is_set(self, field: str) -> bool:
        """Return whether the field's variable is set, as against its default."""
        return field in self.model_fields_set

    @property
    def socket_dir(self) -> Path:
        """Folder of the local PostgreSQL's UNIX socket: in the data folder unless its path is too long."""
        inside = self.data_dir / "run"
        if len(os.fsencode(inside)) <= MAX_SOCKET_DIR_BYTES:
            return inside
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        # Not as TMPDIR says, which may differ between the shell of `taxi up` and the next one.
        return Path("/tmp") / f"taxi-{digest}"

    def local_postgres_url(self, database: str, driver: str = "postgresql") -> str:
        """Return the URL of a database on the local PostgreSQL. It has no password; the socket's folder guards it."""
        # The port names the socket's file; without it, a PGPORT of the user's would.
        return f"{driver}://postgres@/{database}?host={quote(str(self.socket_dir))}&port=5432"


def _is_service_link(name: str, value: Any) -> bool:
    """Return whether Kubernetes made the variable for a Service, as in `TAXI_UI_PORT=tcp://10.0.0.1:80`."""
    is_link = str(value).startswith(("tcp://", "udp://")) and name.upper().endswith("_PORT")
    return is_link or _SERVICE_LINK.fullmatch(name) is not None


# The meaning of each variable, by its name.
VARIABLES: Mapping[str, str] = {
    f"{PREFIX}{name.upper()}": field.description
    for name, field in Settings.model_fields.items()
    if field.description is not None
}
PORT_DEFAULTS: Mapping[str, int] = {
    f"{PREFIX}{name.upper()}": Settings.model_fields[name].default
    for name in ("ui_port", "gcs_port", "bigquery_port", "bigquery_grpc_port")
}
