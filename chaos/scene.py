"""The scene of a round: the month, the stack and the runs that a fault works with."""

import time
from dataclasses import dataclass, field
from random import Random

from chaos.daemon_runs import DaemonRun
from chaos.months import Month
from chaos.runs import Fault, Run, Runner
from chaos.stage import Stage

# About what a small month takes from its start to its end.
RUN_SECONDS = 2.5


@dataclass
class Scene:
    """What a fault works with.

    `detail` collects what it did, in a few words; `violations` what it saw itself that must not be.
    """

    stage: Stage
    runner: Runner
    random: Random
    month: Month
    old: int
    new: int
    detail: list[str] = field(default_factory=list)
    runs: list[Run | DaemonRun] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def run(self, fault: Fault | None = None) -> Run:
        """Start a run of the month."""
        run = self.runner.start(self.month, self.new, fault)
        self.runs.append(run)
        return run

    def request(self) -> DaemonRun:
        """Request a run of the month from Dagster's daemon."""
        run = DaemonRun(self.stage, self.month, self.new)
        self.runs.append(run)
        return run

    def some_time(self, longest: float = RUN_SECONDS) -> float:
        """Sleep for a random time within a run; return it."""
        seconds = self.random.uniform(0, longest)
        time.sleep(seconds)
        return seconds

    def note(self, text: str) -> None:
        """Add to the detail."""
        self.detail.append(text)

    def change_source(self) -> None:
        """Publish another version than the newest."""
        self.new = self.random.choice([version for version in range(len(self.month.versions)) if version != self.new])
        self.stage.publish(self.month, self.new)
