"""Many small months through the daemon, with kills on the way: `python -m benchmarks.many_runs --runs 1000`.

It ends in a line of figures, and fails if a run failed that no kill explains, or a month is not loaded. It is no part
of `make bench` because it takes half an hour.
"""

import random
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

import click
import psutil
import psycopg

from benchmarks.run_processes import run_processes
from benchmarks.ui import backfill
from benchmarks.workbench import Workbench, workbench
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.months import months_before, months_between

LAST = date(2025, 12, 1)
ROWS = "300"
MINIMUM_SECONDS_BETWEEN_KILLS = 10.0
# A code server that is gone is noticed after a minute of silence, so it is killed less often than the others.
VICTIMS = ("run", "run", "fork server", "run", "fork server", "run", "fork server", "code server")
STATES = "SELECT run_id, status FROM runs WHERE pipeline_name LIKE '%_month_job'"
IN_PROGRESS = ("STARTING", "STARTED")


@dataclass
class Kills:
    """What was killed, and the runs that were in progress then."""

    count: dict[str, int] = field(default_factory=dict)
    excused: set[str] = field(default_factory=set)


@click.command()
@click.option("--runs", default=1000, show_default=True, help="End when so many runs have ended.")
@click.option("--kill-every", default=20, show_default=True, help="Runs between two kills; 0 for none.")
def main(runs: int, kill_every: int) -> None:
    """Load months of all datasets, a few hundred rows each, again and again, while processes are killed at random."""
    with workbench(dagster=True, TAXI_SAMPLE_ROWS=ROWS) as bench:
        started, kills, rounds = time.perf_counter(), Kills(), 0
        states: dict[str, str] = {}
        while sum(_is_over(status) for status in states.values()) < runs:
            months = _request_all(bench)
            rounds += 1
            states = _wait(bench, kills, kill_every, expected=months * rounds)
            click.echo(f"Round {rounds}: {_summary(states)}; killed {kills.count or 'nothing'}")
        seconds = time.perf_counter() - started
        failed = {run for run, status in states.items() if status not in ("SUCCESS", "CANCELED")} - kills.excused
        loaded = _is_verified(bench)
    click.echo(f"{len(states)} runs in {seconds:.0f} s, {seconds / len(states):.2f} s each: {_summary(states)}.")
    click.echo(f"Killed: {kills.count}. Failed without a kill: {len(failed)}. All months verified: {loaded}.")
    if failed or not loaded:
        sys.exit(1)


def _is_over(status: str) -> bool:
    return status in ("SUCCESS", "FAILURE", "CANCELED")


def _summary(states: dict[str, str]) -> str:
    values = list(states.values())
    return ", ".join(f"{values.count(status)} {status}" for status in sorted(set(values)))


def _request_all(bench: Workbench) -> int:
    """Request a backfill of every month of every dataset, as the UI does; return the number of months."""
    months = 0
    for name, dataset in DATASETS.items():
        count = months_between(dataset.first_month, LAST) + 1
        keys = [months_before(LAST, back).isoformat() for back in range(count)]
        backfill(bench, f"{name}_month_job", keys)
        months += count
    return months


def _wait(bench: Workbench, kills: Kills, kill_every: int, expected: int) -> dict[str, str]:
    """Wait until so many runs have succeeded, killing on the way; return the status of each run."""
    url = bench.settings.local_postgres_url("dagster")
    last_kill, ended_at_kill = time.monotonic(), -1
    while True:
        with psycopg.connect(url) as connection:
            states: dict[str, str] = dict(connection.execute(STATES).fetchall())
        ended = sum(map(_is_over, states.values()))
        if list(states.values()).count("SUCCESS") >= expected:
            return states
        ended_at_kill = ended if ended_at_kill < 0 else ended_at_kill
        is_time = time.monotonic() - last_kill > MINIMUM_SECONDS_BETWEEN_KILLS
        if kill_every and ended - ended_at_kill >= kill_every and is_time:
            _kill(bench, kills, [run for run, status in states.items() if status in IN_PROGRESS])
            last_kill, ended_at_kill = time.monotonic(), ended
        time.sleep(0.2)


def _kill(bench: Workbench, kills: Kills, in_progress: list[str]) -> None:
    victim = VICTIMS[sum(kills.count.values()) % len(VICTIMS)]
    found = list(run_processes(bench, victim))
    if not found:
        return
    with suppress(psutil.NoSuchProcess):
        random.choice(found).kill()
        kills.count[victim] = kills.count.get(victim, 0) + 1
        kills.excused |= set(in_progress)
        with psycopg.connect(bench.settings.local_postgres_url("dagster")) as connection:
            # Those that began between the look and the kill.
            kills.excused |= {run for run, status in connection.execute(STATES) if status in IN_PROGRESS}


def _is_verified(bench: Workbench) -> bool:
    """Return whether the lake and both warehouses hold the same rows of every month."""
    command = [sys.executable, "-m", "taxi_assets.cli.main", "verify"]
    done = subprocess.run(command, env=dict(bench.environ), cwd=bench.folder, capture_output=True, text=True)
    if done.returncode:
        click.echo(done.stdout + done.stderr)
    return done.returncode == 0


if __name__ == "__main__":
    main()
