"""What Spark's log of events says of a run: the work of its tasks, and what only one of them could do."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Work:
    """Seconds of one core in stages of several tasks, and in stages of one task, as the last of each table is.

    `span` is the seconds from the first stage's begin to the last one's end.
    """

    parallel: float
    serial: float
    span: float


def settings(folder: Path) -> dict[str, str]:
    """Return Spark's settings for a log of events in the folder, which they create."""
    folder.mkdir(parents=True)
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": folder.as_uri(),
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
    }


def work(folder: Path) -> Work:
    """Return the work of the one run that the folder has the log of."""
    [path] = folder.iterdir()
    stages, tasks = {}, []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            if event["Event"] == "SparkListenerStageCompleted":
                stages[event["Stage Info"]["Stage ID"]] = event["Stage Info"]
            elif event["Event"] == "SparkListenerTaskEnd":
                tasks.append((event["Stage ID"], event["Task Metrics"]["Executor Run Time"] / 1000))
    alone = {stage for stage, info in stages.items() if info["Number of Tasks"] == 1}
    span = max(s["Completion Time"] for s in stages.values()) - min(s["Submission Time"] for s in stages.values())
    return Work(
        parallel=sum(seconds for stage, seconds in tasks if stage not in alone),
        serial=sum(seconds for stage, seconds in tasks if stage in alone),
        span=span / 1000,
    )
