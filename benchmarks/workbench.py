"""What the benchmarks share: a folder of files made for them, and the embedded services."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from taxi_assets.local.environment import environment
from taxi_assets.local.ports import free_port
from taxi_assets.local.stack import Stack
from taxi_assets.sample.files import write_sample
from taxi_assets.settings import PORT_DEFAULTS, PROJECT_ROOT, Settings

LOCATION = "taxi_assets.definitions"
MONTH = date(2021, 1, 1)
MONTH_ROWS = 1_369_769  # yellow 2021-01 as TLC published it
TLC = PROJECT_ROOT.parent / "shared" / "tlc" / "trips"


@dataclass(frozen=True)
class Workbench:
    """`folder` is for the files of the stages; `environ` is what `dagster` needs to meet the services."""

    folder: Path
    settings: Settings
    environ: Mapping[str, str]

    def sample(self, rows: int, file_format: str) -> Path:
        """Make a sample file of yellow 2021-01, made once."""
        folder = self.folder / f"{rows}"
        path = folder / f"yellow_tripdata_2021-01.{file_format}"
        if not path.exists():
            folder.mkdir(exist_ok=True)
            write_sample("yellow", MONTH, folder, rows=rows, file_format=file_format)
        return path


@contextmanager
def workbench(*, dagster: bool, **variables: str) -> Iterator[Workbench]:
    """Provide a folder and services that are gone afterwards, with Dagster if asked for; `variables` are settings."""
    with tempfile.TemporaryDirectory(prefix="taxi-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user, and reads the CSV for its COPY by itself
        ports = {port: str(free_port()) for port in PORT_DEFAULTS}
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "TAXI_DATA_DIR": str(folder / "data"),
            **ports,
            **variables,
        }
        settings = Settings.from_environment(environ)
        own = environment(settings, environ)
        (folder / "environment").write_text(json.dumps(own))
        with Stack(settings, dagster=dagster, environ=environ).running():
            yield Workbench(folder, settings, environ | own)
