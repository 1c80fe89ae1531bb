"""The settings as docs/settings.md and .env.example.

`python -m taxi_assets.cli.settings_document` writes both anew from the fields of `taxi_assets.settings.Settings`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic.fields import FieldInfo

from taxi_assets.settings import PREFIX, PROJECT_ROOT, Settings

DOCS = PROJECT_ROOT / "docs" / "settings.md"
TEMPLATE = PROJECT_ROOT / ".env.example"

# A heading, and the fields under it in the order of both files.
SECTIONS: Sequence[tuple[str, Sequence[str]]] = (
    ("Where everything runs", ("env", "data_dir", "allow_emulators")),
    (
        "Where the files come from",
        ("source", "zones_source", "zone_shapes_source", "source_allow_private", "sample_rows"),
    ),
    ("Files that TLC did not write", ("zoned_times", "unknown_columns")),
    (
        "The cloud",
        ("gcp_project", "gcs_bucket", "gcp_billed_project", "bigquery_dataset", "bigquery_location", "postgres_url"),
    ),
    ("Alerts", ("alert_webhook", "alert_smtp_url", "alert_email", "ui_url")),
    ("Workers", ("executor", "run_start", "redis_url")),
    ("All of history, by Spark", ("spark", "dataproc_cluster", "dataproc_region")),
    (
        "The local services",
        ("ui_port", "gcs_port", "bigquery_port", "bigquery_grpc_port", "gcs_emulator", "bigquery_emulator"),
    ),
)

INTRODUCTION = """\
# Settings

All settings are environment variables. `taxi` and `dagster` also read them from a file `.env` in the folder that they
are started in; the environment wins. [.env.example](../.env.example) is a template.

An unknown `TAXI_*` variable is an error, so that a typing mistake is noticed. Variables that Kubernetes sets for a
Service (`TAXI_..._SERVICE_HOST`, `TAXI_..._PORT=tcp://...`) are ignored. An empty variable counts as not set.
Secrets come from the environment alone; the UI shows the names of variables, never their values.

This file is generated: change `taxi_assets/settings.py`, then run `python -m taxi_assets.cli.settings_document`.
"""

OTHERS = """
## Variables of others

| variable | meaning |
|---|---|
| `DAGSTER_POSTGRES_URL` | Dagster's storage with `cloud`, `postgresql+psycopg2://user:password@host:5432/dagster` |
| `GOOGLE_APPLICATION_CREDENTIALS` | Google's key file; not needed after `gcloud auth application-default login` |
| `STORAGE_EMULATOR_HOST`, `BIGQUERY_EMULATOR_HOST` | Google's variables for emulators; set by `taxi env` with `local` |

docker-compose.yaml has more, which [.env.example](../.env.example) lists.
"""

# What docker-compose.yaml needs besides, in the template.
COMPOSE = """
# --- docker-compose.yaml ---
# It needs TAXI_ENV, TAXI_GCP_PROJECT and TAXI_GCS_BUCKET from above, and sets the URLs itself. With TAXI_ENV=local, use
# its profile `local`, and taxi-local for project and bucket.
# COMPOSE_PROFILES=local
# Letters and digits only, since they become parts of URLs: openssl rand -hex 24
# DAGSTER_POSTGRES_PASSWORD=
# WAREHOUSE_POSTGRES_PASSWORD=
# WAREHOUSE_READER_PASSWORD=
# REDIS_PASSWORD=
# Absolute path of Google's key file, for TAXI_ENV=cloud. It is mounted read-only; user 1000 must be able to read it.
# GOOGLE_APPLICATION_CREDENTIALS=/path/to/key.json
# Who may do everything, and who may only look. The hashes stand between single quotes, since they hold dollar signs:
# docker run --rm -it caddy:2.11.7 caddy hash-password
# GATEWAY_USER=
# GATEWAY_PASSWORD_HASH=''
# GATEWAY_READER=
# GATEWAY_READER_PASSWORD_HASH=''
# With the server's public name the gateway serves HTTPS; without it, plain HTTP on loopback.
# GATEWAY_HOST=taxi.example.org
# GATEWAY_HTTP=80
# GATEWAY_HTTPS=443
"""


def document() -> str:
    """Return docs/settings.md."""
    lines = [INTRODUCTION]
    for heading, names in SECTIONS:
        lines += [f"## {heading}", "", "| variable | meaning | default |", "|---|---|---|"]
        for variable, field in _fields(names):
            default = _default(field)
            lines.append(f"| `{variable}` | {field.description} | {f'`{default}`' if default else ''} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n" + OTHERS


def template() -> str:
    """Return .env.example: every variable, commented out."""
    lines = ["# Copy to .env. Nothing is needed for the local default. Lines that begin with # are off."]
    for heading, names in SECTIONS:
        lines += ["", f"# --- {heading} ---"]
        for variable, field in _fields(names):
            example = (field.examples or [""])[0]
            lines += [f"# {_plain(field)}", f"# {variable}={_default(field) or example}"]
        if "postgres_url" in names:
            lines += [
                "# Dagster's own storage; with psycopg2, as dagster-postgres needs.",
                "# DAGSTER_POSTGRES_URL=postgresql+psycopg2://user:password@host:5432/dagster",
            ]
    return "\n".join(lines) + "\n" + COMPOSE


def write() -> None:
    """Write both files."""
    DOCS.write_text(document(), encoding="utf-8")
    TEMPLATE.write_text(template(), encoding="utf-8")


def _fields(names: Sequence[str]) -> Iterator[tuple[str, FieldInfo]]:
    for name in names:
        yield f"{PREFIX}{name.upper()}", Settings.model_fields[name]


def _default(field: FieldInfo) -> str:
    """Return the default as one would set it; empty if there is none, or it depends on the machine or on others."""
    default: Any = field.default
    return str(default) if isinstance(default, str | int) else ""


def _plain(field: FieldInfo) -> str:
    text = field.description or ""
    return f"{text[0].upper()}{text[1:]}." if text[0] != "`" else f"{text}."


if __name__ == "__main__":
    write()
