"""`python code_server.py dagster api grpc -p PORT ...`: settle the runs that died with the last server, and serve.

First it asks for what compose cannot: a key file is needed with TAXI_ENV=cloud alone. The warehouse's tables are
brought to what this version needs meanwhile.

A run is a process in the code server's container. Dagster cannot tell that it ended with it, so it would count as
running and hold its place in the queue for ever. Reported as failed, it is retried by `run_retries` of dagster.yaml.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from taxi_assets.runtime import orphaned_runs as runs


def settle(port: str, run_ids: list[str]) -> None:
    """Settle these runs once the server answers."""
    # The daemon plans a retry with the code server as soon as it sees the failure, and only that once.
    while subprocess.run(
        ["dagster", "api", "grpc-health-check", "-p", port], capture_output=True, check=False
    ).returncode:
        time.sleep(1)
    runs.settle(run_ids, "The code server's container")


def key_fault(environ: Mapping[str, str]) -> str | None:
    """What is wrong with Google's key file, in a sentence."""
    path = environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if environ.get("TAXI_ENV") != "cloud" or not path:
        return None
    what = "Set GOOGLE_APPLICATION_CREDENTIALS in .env to the absolute path of Google's key file"
    try:
        # Without the setting, compose mounts /dev/null there.
        return None if Path(path).read_bytes().strip() else f"TAXI_ENV is cloud and there is no key file. {what}."
    except OSError as error:
        return f"The key file cannot be read ({error.strerror}). {what}; user {os.getuid()} must be able to read it."


def main(command: list[str]) -> None:
    """Migrate and, if there is something to settle, `settle` beside the server; this process becomes the server."""
    fault = key_fault(os.environ)
    if fault:
        sys.exit(fault)
    # Beside the server: if it fails it says so here, and the next load tries again.
    subprocess.Popen(["taxi", "migrate", "--postgres"])
    # Asked before the server answers, when no run in progress can have a process.
    run_ids = runs.in_progress(os.environ["DAGSTER_POSTGRES_URL"])
    if run_ids:
        port = command[command.index("-p") + 1]
        subprocess.Popen([sys.executable, __file__, "--settle", port, *run_ids])
    os.execvp(command[0], command)


if __name__ == "__main__":
    if sys.argv[1] == "--settle":
        settle(sys.argv[2], sys.argv[3:])
    else:
        main(sys.argv[1:])
