"""The campaign: rounds of a fault, what must hold after it, a rerun, and what must hold then.

All that is random in a round follows from the seed and the round's number.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from chaos.checks import (
    Held,
    Reader,
    conservation,
    expected_cents,
    held,
    leftovers,
    reading,
    verified,
)
from chaos.kinds import KINDS, Kind
from chaos.months import LARGE, VERSIONS, Month
from chaos.runs import Runner
from chaos.scene import Scene
from chaos.stage import Stage

LARGE_SHARE = 0.01


@dataclass
class Outcome:
    """What a round showed; `old` is the version that was loaded before, `violations` is empty if all held."""

    number: int
    kind: str
    month: str
    old: int
    detail: str = ""
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)
    longest_wait_seconds: float = 0.0
    reads: int = 0

    def as_line(self) -> str:
        """Return one line for people."""
        what = f"{self.number:5}  {self.seconds:5.1f} s  {self.month}  {self.kind}: {self.detail}"
        return what if not self.violations else f"{what}\n       VIOLATED: {'; '.join(self.violations)}"

    def as_record(self) -> dict[str, Any]:
        """Return it for chaos.jsonl."""
        return asdict(self)


class Campaign:
    """Rounds on one stage.

    Args:
        stage: The stack.
        runner: What starts the runs.
        months: The months that the source has.
        seed: Everything random follows from it.
        kinds: The kinds of faults to draw from; all if empty.
        longest_wait: What a reader may wait at most, in seconds.
    """

    def __init__(
        self,
        stage: Stage,
        runner: Runner,
        months: list[Month],
        seed: int,
        kinds: tuple[str, ...],
        longest_wait: float,
    ) -> None:
        self._stage, self._runner, self._months, self._seed = stage, runner, months, seed
        self._longest_wait = longest_wait
        possible = [name for name, kind in KINDS.items() if stage.dagster or not kind.dagster]
        self._kinds = {name: KINDS[name] for name in kinds or possible}
        # The hash of all rows of a version in a place, learned when it was first loaded.
        self._digests: dict[tuple[str, str, int], Held] = {}
        self._loaded: dict[str, int] = {}

    def round(self, number: int, loaded: int = 0) -> Outcome:
        """Run one round; `loaded` is the version that a month begins with which no round has loaded yet."""
        random = Random(f"{self._seed}/{number}")
        kind = random.choices(list(self._kinds), [k.weight for k in self._kinds.values()])[0]
        month = self._draw_month(random)
        old = self._loaded.get(month.file_name, loaded)
        new = (old + random.randint(1, VERSIONS - 1)) % VERSIONS
        outcome = Outcome(number, kind, f"{month.dataset} {month.month:%Y-%m}", old)
        if month.file_name not in self._loaded:
            self._stage.publish(month, old)
            outcome.violations += [f"before: {text}" for text in self._rerun(month, old)]
        began = time.monotonic()
        scene = Scene(self._stage, self._runner, random, month, old, new)
        self._stage.publish(month, new)
        chosen = self._kinds[kind]
        allowed = {expected_cents(version) for version in month.versions}
        with reading(self._stage, month, allowed) as reader:
            try:
                chosen.act(scene)
            finally:
                for run in scene.runs:
                    if not run.is_over():
                        outcome.violations.append("a run did not end")
                        run.end()
                self._stage.calm(month)
        outcome.detail = "; ".join(scene.detail)
        outcome.violations += scene.violations
        if chosen.succeeds:
            outcome.violations += _of_failed(scene)
        if not chosen.by_hand:
            loaded = any(run.version == scene.new and run.succeeded for run in scene.runs)
            outcome.violations += self._after_fault(month, [scene.new] if loaded else range(VERSIONS))
        outcome.violations += self._of_readers(reader, chosen)
        outcome.longest_wait_seconds, outcome.reads = round(reader.longest_seconds, 2), reader.reads
        outcome.violations += self._rerun(month, scene.new)
        self._loaded[month.file_name] = scene.new
        outcome.seconds = round(time.monotonic() - began, 1)
        return outcome

    def _draw_month(self, random: Random) -> Month:
        large = [month for month in self._months if (month.dataset, month.month) == LARGE]
        small = [month for month in self._months if month not in large]
        return random.choice(large if large and random.random() < LARGE_SHARE else small)

    def _after_fault(self, month: Month, versions: Sequence[int]) -> list[str]:
        """Return where a place holds none of the versions: all three, or the one that a run has loaded."""
        problems = conservation(self._stage, month)
        for place, found in held(self._stage, month).items():
            if not any(self._is_version(place, month, version, found) for version in versions):
                expected = f"version {versions[0]}, which a run has loaded" if len(versions) == 1 else "a version"
                problems.append(f"{place} does not hold {expected}: {found.rows} rows, {found.cents} cents")
        return problems

    def _is_version(self, place: str, month: Month, version: int, found: Held) -> bool:
        known = self._digests.get((place, month.file_name, version))
        return (found.rows, found.cents) == expected_cents(month.versions[version]) and known in (None, found)

    def _of_readers(self, reader: Reader, kind: Kind) -> list[str]:
        problems = [] if kind.by_hand else sorted(set(reader.wrong))[:3]
        if kind.outage:
            return problems
        problems += sorted(set(reader.errors))[:3]
        if reader.longest_seconds > self._longest_wait:
            problems.append(f"a reader waited {reader.longest_seconds:.1f} s")
        return problems

    def _rerun(self, month: Month, version: int) -> list[str]:
        """Run the month to its end; return what is not as the newest version is."""
        run = self._runner.start(month, version)
        run.wait()
        if not run.succeeded:
            run.end()
            return [f"the rerun ended with {run.last_words}"]
        problems = []
        for place, found in held(self._stage, month).items():
            if not self._is_version(place, month, version, found):
                problems.append(f"after the rerun {place} holds {found.rows} rows, {found.cents} cents")
            else:
                self._digests[place, month.file_name, version] = found
        problems += conservation(self._stage, month) + verified(self._stage, month)
        return problems + [f"left over: {text}" for text in leftovers(self._stage, month)]


def _of_failed(scene: Scene) -> list[str]:
    """Return what ended runs that nothing kept from their end."""
    return [f"a run ended with {run.last_words}" for run in scene.runs if not run.succeeded]
