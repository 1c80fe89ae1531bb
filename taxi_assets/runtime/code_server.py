"""Settle the runs that died with the last code server, then become the code server.

Usage: `python -m taxi_assets.runtime.code_server dagster api grpc -p PORT ...`. It also does what compose cannot: it
checks Google's key file, which only TAXI_ENV=cloud needs, and migrates the warehouse's tables to this version.

A run is a process in the code server's container and ends with it. Dagster cannot detect that, so the run would count
as running and keep its place in the queue for ever. Once it is reported as failed, `run_retries` of dagster.yaml
starts it again.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from taxi_assets.runtime import orphaned_runs, pools


def settle(port: str, run_ids: list[str]) -> None:
    """Wait until the server responds, then settle these runs."""
    # As soon as the daemon sees the failure it plans the retry, once, and needs the code server for it.
    health_check = ["dagster", "api", "grpc-health-check", "-p", port]
    while subprocess.run(health_check, capture_output=True, check=False).returncode:
        time.sleep(1)
    orphaned_runs.settle(run_ids, "The code server's container")


def key_fault(environ: Mapping[str, str]) -> str | None:
    """Return what is wrong with Google's key file, or None."""
    path = environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if environ.get("TAXI_ENV") != "cloud" or not path:
        return None
    advice = "Set GOOGLE_APPLICATION_CREDENTIALS in .env to the absolute path of Google's key file"
    try:
        # Without the setting, compose mounts /dev/null there.
        return None if Path(path).read_bytes().strip() else f"TAXI_ENV is cloud and there is no key file. {advice}."
    except OSError as error:
        return f"The key file cannot be read ({error.strerror}). {advice}; user {os.getuid()} must be able to read it."


def main(command: list[str]) -> None:
    """Start the migration and, if needed, `settle` as processes of their own, and replace this process by `command`."""
    fault = key_fault(os.environ)
    if fault:
        sys.exit(fault)
    # If the migration fails, it prints why; the next load migrates again.
    subprocess.Popen(["taxi", "migrate", "--postgres"])
    # The daemon starts when the server responds.
    pools.ensure_pools(os.environ["DAGSTER_POSTGRES_URL"])
    # Before the server responds, no run in progress can have a process.
    run_ids = orphaned_runs.in_progress(os.environ["DAGSTER_POSTGRES_URL"])
    if run_ids:
        port = command[command.index("-p") + 1]
        subprocess.Popen([sys.executable, "-m", "taxi_assets.runtime.code_server", "--settle", port, *run_ids])
    os.execvp(command[0], command)


if __name__ == "__main__":
    if sys.argv[1] == "--settle":
        settle(sys.argv[2], sys.argv[3:])
    else:
        main(sys.argv[1:])
