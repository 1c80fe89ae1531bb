"""The profile `workers`: twelve months over two workers without a common disk, one of which is killed on the way."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import dagster as dg
import pytest
from celery import Celery
from celery.result import AsyncResult

from taxi_assets.local import processes
from taxi_assets.runtime.queues import QUEUES
from taxi_assets.settings import PROJECT_ROOT
from taxi_assets_tests.support.deployment import Deployment
from taxi_assets_tests.support.waiting import HANG_SECONDS, wait_for

REDIS = shutil.which("redis-server")
MONTHS = [f"2019-{number:02}-01" for number in range(1, 13)]
pytestmark = pytest.mark.skipif(REDIS is None, reason="Debian's package redis-server is not installed")


@dataclass
class Workers:
    deployment: Deployment
    names: list[str]
    broker: Celery

    def environment(self) -> dict[str, str]:
        """Return what `code` sets for its runs with TAXI_EXECUTOR=celery in .env."""
        return self.deployment.environment("code") | {"TAXI_EXECUTOR": "celery"}

    def answers(self, name: str) -> bool:
        return bool(self.broker.control.inspect([f"taxi@{name}"], timeout=5, limit=1).ping())

    def active(self, name: str) -> AsyncResult | None:
        """Return a step that this worker has begun."""
        found = self.broker.control.inspect([f"taxi@{name}"], timeout=2, limit=1).active() or {}
        for task in found.get(f"taxi@{name}", []):
            return AsyncResult(task["id"], app=self.broker)
        return None

    def caught(self, name: str, group: bool) -> int:
        """Stop the worker's process group, or the process of one of its steps, in the midst of a step."""
        caught: list[int] = []

        def catch() -> bool:
            step = self.active(name)
            if step is None or not isinstance(step.info, dict):
                return False
            number = -self.deployment.children[name].pid if group else step.info["pid"]
            with suppress(ProcessLookupError):
                signal_to(number, signal.SIGSTOP)
                if step.state == "STARTED":
                    caught.append(number)
                    return True
                signal_to(number, signal.SIGCONT)
            return False

        wait_for(catch, f"a step of {name}", pause=0)
        return caught[0]


def signal_to(number: int, what: signal.Signals) -> None:
    """As kill(2): a negative number is a group."""
    os.killpg(-number, what) if number < 0 else os.kill(number, what)


@pytest.fixture(scope="module")
def workers(deployment: Deployment) -> Iterator[Workers]:
    names = deployment.scale("worker", 2)
    for services in (["redis"], [*names, "flower"]):
        with ThreadPoolExecutor() as pool:
            assert not any(pool.map(deployment.is_healthy, services))
        for name in services:
            deployment.start(name)
        with ThreadPoolExecutor() as pool:
            list(pool.map(deployment.become_healthy, services))
    url = deployment.environment("code")["TAXI_REDIS_URL"]
    return Workers(deployment, names, Celery(broker=url, backend=url))


def test_twelve_months_are_right_although_a_worker_and_a_step_of_the_other_are_killed(workers: Workers) -> None:
    deployment, (first, second) = workers.deployment, workers.names
    # As docs/workers.md advises. Two places would be held by the two steps that are killed.
    for pool in QUEUES:
        deployment.instance.event_log_storage.set_concurrency_slots(pool, 4)
    log = deployment.folder / "months.log"
    with log.open("wb") as output:
        script = PROJECT_ROOT / "taxi_assets_tests" / "support" / "runs_process.py"
        runs = subprocess.Popen(
            [sys.executable, str(script), "green", *MONTHS],
            env=workers.environment(),
            cwd=deployment.folder / "home",
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(
            lambda: " True" in log.read_text() or runs.poll() is not None,
            "the first month",
            report=lambda: processes.tail(log, 30),
        )
        # The whole worker, as when its machine goes down; then one process of the other, as when memory runs out.
        for name, group in ((first, True), (second, False)):
            signal_to(workers.caught(name, group), signal.SIGKILL)
        assert runs.wait(HANG_SECONDS) == 0, processes.tail(log, 30)
    finally:
        runs.kill()
    assert sorted(line for line in log.read_text().splitlines() if line.endswith(" True")) == [
        f"{month} True" for month in MONTHS
    ]

    # No run began anew; a step on each of the two was tried again, and each took some to their end.
    ended = deployment.instance.get_runs(dg.RunsFilter(job_name="green_month_job", tags={"dagster/partition": MONTHS}))
    assert [run.status for run in ended] == [dg.DagsterRunStatus.SUCCESS] * len(MONTHS)
    took: Counter[str] = Counter()
    lost = []
    for run in ended:
        for record in deployment.instance.all_logs(run.run_id):
            event = record.dagster_event
            if event is not None and event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY:
                lost.append(event.step_retry_data.error.message)
            elif event is not None and "Celery worker" in (
                event.engine_event_data.metadata if event.is_engine_event else {}
            ):
                took[str(event.engine_event_data.metadata["Celery worker"].value)] += 1
    assert set(took) == {f"taxi@{first}", f"taxi@{second}"}
    assert 2 <= len(lost) <= 4, lost
    assert any(f"taxi@{first} went away" in text for text in lost)
    assert any("WorkerLostError" in text for text in lost)

    verified = subprocess.run(
        ["taxi", "verify", "green", "2019-01..2019-12"],
        env=workers.environment(),
        cwd=deployment.folder / "home",
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert (verified.returncode, verified.stdout.count("✓")) == (0, 1), verified.stdout + verified.stderr
    assert "12 months" in verified.stdout

    # What they share is the lake: each has a disk of its own, and what it did not make it fetched.
    for name in workers.names:
        assert list((deployment.folder / name / "cache").rglob("*.parquet"))
    assert not list((deployment.folder / "taxi").rglob("*2019*"))


def test_flower_shows_the_workers_to_one_user_and_obeys_none(workers: Workers, gateway: Deployment) -> None:
    def listed() -> bool:
        status, _, body = gateway.ask("GET", "/flower/workers?refresh=1", "operator")
        return status == 200 and b"taxi@worker-2" in body

    wait_for(listed, "the workers in Flower")
    assert gateway.ask("GET", "/flower/workers")[0] == 401
    assert b"taxi@worker-2" not in gateway.ask("GET", "/flower/workers", "viewer")[2]
    for user in ("operator", "viewer"):
        assert gateway.ask("POST", "/flower/api/worker/shutdown/taxi@worker-2", user)[0] in (401, 404, 405)
    assert workers.answers("worker-2")


def test_redis_asks_for_its_password(workers: Workers) -> None:
    deployment = workers.deployment
    port = deployment.here("6379")
    environment = deployment.environment("redis")
    answers = [
        subprocess.run(["redis-cli", "-p", port, "ping"], env=environment | own, capture_output=True, text=True).stdout
        for own in ({}, {"REDISCLI_AUTH": environment["REDIS_PASSWORD"]})
    ]
    assert answers[0].startswith("NOAUTH")
    assert answers[1] == "PONG\n"
    command = [deployment.here(word, "redis") for word in deployment.config["redis"]["command"]]
    started = subprocess.run(command, env=environment | {"REDIS_PASSWORD": ""}, capture_output=True, text=True)
    assert started.returncode != 0
    assert "REDIS_PASSWORD: is not set; set it in .env" in started.stderr
