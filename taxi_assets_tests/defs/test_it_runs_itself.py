"""The daemon with real ticks, for a source that publishes as TLC does, and for everything that is killed on the way."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import pytest

from taxi_assets.defs.ingestion.polling import NEW_YORK, is_overdue, last_ended
from taxi_assets.months import month_text, months_before
from taxi_assets.sample.files import write_sample
from taxi_assets.settings import Settings
from taxi_assets_tests.support.http_server import Fault, FileServer, serve
from taxi_assets_tests.support.orchestra import Orchestra
from taxi_assets_tests.support.receivers import MailServer, Webhook, mail_server, webhook
from taxi_assets_tests.support.waiting import HANG_SECONDS

ROWS = 300
# dequeue_num_workers in dagster.yaml.
LAUNCHES_AT_ONCE = 2
TODAY = datetime.now(NEW_YORK).date()
DONE = dg.DagsterRunStatus.SUCCESS


class Town:
    """A source, the people who are told, and Dagster between them."""

    def __init__(self, server: FileServer, hook: Webhook, mail: MailServer, dagster: Orchestra, folder: Path) -> None:
        self.server, self.hook, self.mail, self.dagster, self.folder = server, hook, mail, dagster, folder

    def publish(self, dataset: str, month: date, rows: int = ROWS) -> None:
        path = write_sample(dataset, month, self.folder / str(rows), rows=rows, file_format="csv.gz")
        self.server.put(self.name(dataset, month), path.read_bytes())

    @staticmethod
    def name(dataset: str, month: date) -> str:
        return f"{dataset}_{month_text(month)}.csv.gz"

    def asked(self, dataset: str, month: date) -> int:
        """Return how often a sensor asked for the month."""
        path = f"/{self.name(dataset, month)}"
        return sum(seen.method == "HEAD" for seen in self.server.requests_of(path))

    def loads(self, dataset: str) -> Counter[str]:
        """Return the months of all runs of the dataset's job that ended well."""
        runs = self.dagster.runs(f"{dataset}_month_job")
        return Counter(run.tags["dagster/partition"][:7] for run in runs if run.status is DONE)


@pytest.fixture(scope="module")
def town(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    with serve(folder / "source") as server, webhook() as hook, mail_server() as mail:
        dagster = Orchestra(
            services,
            folder / "dagster",
            {
                "TAXI_SOURCE": server.url("/{dataset}_{month}.csv.gz"),
                "TAXI_ALERT_WEBHOOK": hook.url,
                "TAXI_ALERT_SMTP_URL": mail.url,
                "TAXI_ALERT_EMAIL": "operator@example.org",
                "TAXI_UI_URL": "http://ui.example.org",
            },
        )
        try:
            dagster.start("webserver")
            dagster.start("daemon")
            dagster.wait_for(dagster.is_up, "the start of the webserver")
            yield Town(server, hook, mail, dagster, folder)
        finally:
            dagster.stop()


def ago(months: int) -> date:
    return months_before(last_ended(TODAY), months)


def test_what_is_published_is_loaded_once_and_who_must_know_is_told(town: Town):
    """Months come late and out of order, one is corrected, one is broken at first, and the source fails for a while."""
    dagster, wait = town.dagster, town.dagster.wait_for

    def loaded(*months: date) -> bool:
        return town.loads("green") == Counter(map(month_text, months))

    town.publish("green", ago(8))
    dagster.turn_on("green_new_months_sensor")
    wait(lambda: loaded(ago(8)), "the first month")
    # From the first loaded month on, none may be late.
    late = [ago(back) for back in range(8) if is_overdue(ago(back), TODAY)]
    wait(lambda: sum("is overdue" in text for text in town.hook.texts) >= len(late), "the alerts for late months")
    # Out of order: the newer month first.
    town.publish("green", ago(5))
    # A page in place of a file, as a careless host has it.
    town.server.put(town.name("green", ago(4)), b"<html>coming soon</html>")
    wait(lambda: loaded(ago(8), ago(5)), "the month that overtook another")
    town.publish("green", ago(6))
    town.publish("green", ago(8), rows=ROWS + 1)
    wait(lambda: loaded(ago(8), ago(5), ago(6), ago(8)), "the late month and the corrected one")
    wait(lambda: any("failed" in text for text in town.hook.texts), "the alert for the broken month")
    town.publish("green", ago(4))
    wait(lambda: loaded(ago(8), ago(5), ago(6), ago(8), ago(4)), "the month that was broken")

    for back in range(13):
        town.server.always(f"/{town.name('green', ago(back))}", Fault(status=503))
    wait(lambda: any("is down" in text for text in town.hook.texts), "the alert for the source")
    for back in range(13):
        town.server.always(f"/{town.name('green', ago(back))}", Fault())
    wait(lambda: any("is back" in text for text in town.hook.texts), "the source to be back")
    # Two more ticks, which ask for all that there is and find nothing to do.
    before = town.asked("green", ago(8))
    wait(lambda: town.asked("green", ago(8)) >= before + 2, "two more ticks")

    assert loaded(ago(8), ago(5), ago(6), ago(8), ago(4))
    failed = [run for run in dagster.runs("green_month_job") if run.status is not DONE]
    assert [run.tags["dagster/partition"][:7] for run in failed] == [month_text(ago(4))]
    assert all(dagster.runs(f"{other}_month_job") == [] for other in ("yellow", "fhv", "fhvhv"))
    assert len(dagster.instance.get_runs()) == 6

    # Every late month once, and what else happened.
    first, second = f"green {month_text(ago(4))} failed", "The source is down"
    expected = Counter([first, second, "The source is back", *(f"green {month_text(m)} is overdue" for m in late)])
    wait(lambda: len(town.mail.messages) >= expected.total(), "the e-mails")
    assert Counter(text.splitlines()[0].strip("*") for text in town.hook.texts) == expected
    assert Counter(message["Subject"] for message in town.mail.messages) == expected
    [alert] = [text for text in town.hook.texts if first in text]
    assert "green/raw_file: " in alert
    assert "sent no usable file" in alert
    assert f"<http://ui.example.org/runs/{failed[0].run_id}|" in alert


def kill_a_run(dagster: Orchestra, job: str) -> dg.DagsterRun:
    """End the process of a run that is under way by SIGKILL; the run."""
    killed: list[dg.DagsterRun] = []

    def kill() -> bool:
        for run in dagster.runs(job):
            if run.status is dg.DagsterRunStatus.STARTED and (pid := dagster.pid_of(run)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(run)
                    return True
        return False

    dagster.wait_for(kill, "a run with a process")
    return killed[0]


def test_a_backfill_survives_whatever_is_killed(town: Town):
    dagster, wait = town.dagster, town.dagster.wait_for
    months = [months_before(date(2020, 12, 1), back) for back in reversed(range(36))]
    for month in months:
        town.publish("yellow", month)
    job = "yellow_month_job"
    said = len(town.hook.texts)
    backfill = dagster.backfill(job, [month.isoformat() for month in months])

    def done() -> int:
        return town.loads("yellow").total()

    wait(lambda: done() >= 4, "the first months")
    dagster.kill("webserver")
    running = kill_a_run(dagster, job)
    wait(lambda: done() >= 8, "more months")
    dagster.kill("daemon")
    dagster.start("daemon")
    dagster.start("webserver")

    wait(lambda: done() >= 36, "all months")
    # Every month once; by a retry that of the killed run, and what the daemon was just launching when it was killed.
    runs = dagster.runs(job)
    assert town.loads("yellow") == Counter(map(month_text, months))
    lost = [run.run_id for run in runs if run.status is not DONE]
    assert running.run_id in lost
    assert len(lost) <= 1 + LAUNCHES_AT_ONCE, [dagster.why(run_id) for run_id in lost]
    assert len(runs) == 36 + len(lost)
    # Of what waits, the newest month is taken: so it is with all that began after the last was requested.
    records = [dagster.instance.get_run_record_by_id(run.run_id) for run in runs if run.parent_run_id is None]
    requested = max(record.create_timestamp.timestamp() for record in records)
    began = sorted(
        (record.start_time, record.dagster_run.tags["dagster/partition"]) for record in records if record.start_time
    )
    waited = [month for start, month in began if start > requested][2 * LAUNCHES_AT_ONCE :]
    assert len(waited) > 10
    # Those that are launched side by side begin in any order.
    assert all(month > max(waited[at + LAUNCHES_AT_ONCE :]) for at, month in enumerate(waited[:-LAUNCHES_AT_ONCE]))
    wait(lambda: dagster.instance.get_backfill(backfill).status.value == "COMPLETED_FAILED", "the backfill")
    assert len(town.hook.texts) == said, "a run that was retried is no news"

    verified = subprocess.run(
        [sys.executable, "-m", "taxi_assets.cli.main", "verify", "yellow", "2018-01..2020-12"],
        env=dagster.environ,
        cwd=town.folder,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
