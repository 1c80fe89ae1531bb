"""Runs the campaign, prints a line a round and writes chaos.jsonl."""

import json
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

from chaos.campaign import Campaign, Outcome
from chaos.kinds import KINDS
from chaos.months import make_months
from chaos.runs import Runner
from chaos.stage import stage


@click.command()
@click.option("--rounds", default=1000, show_default=True, help="Rounds to run.")
@click.option("--seed", default=1, show_default=True, help="Everything random follows from it.")
@click.option("--round", "one", type=int, help="Repeat this round alone.")
@click.option("--loaded", default=0, show_default=True, help="With --round: the version that was loaded before.")
@click.option("--only", type=click.Choice(list(KINDS)), multiple=True, help="Faults of these kinds only.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("chaos.jsonl"), show_default=True)
@click.option("--large/--small", default=True, show_default=True, help="Months of up to a million rows too.")
@click.option("--dagster", is_flag=True, help="Runs of Dagster's daemon too, which take longer.")
@click.option("--longest-wait", default=2.0, show_default=True, help="What a reader may wait at most, in seconds.")
@click.option("--stop-at", type=int, help="End after this many rounds with a violation.")
@click.pass_context
def main(
    ctx: click.Context,
    rounds: int,
    seed: int,
    one: int | None,
    loaded: int,
    only: tuple[str, ...],
    out: Path,
    large: bool,
    dagster: bool,
    longest_wait: float,
    stop_at: int | None,
) -> None:
    """Inject random faults into loads of months, and check after each that every month is there exactly once."""
    # Ended by a signal, the stack must end too.
    signal.signal(signal.SIGTERM, lambda *_: ctx.exit(143))
    began = time.monotonic()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="taxi-chaos-") as name, out.open("w") as file:
        folder = Path(name)
        months = make_months(folder / "versions", large=large)
        with stage(folder, dagster=dagster) as made:
            campaign = Campaign(made, Runner(made.logs), months, seed, only, longest_wait)
            for number in [one] if one is not None else range(1, rounds + 1):
                outcome = campaign.round(number, loaded)
                outcomes.append(outcome)
                click.echo(outcome.as_line())
                if outcome.violations:
                    click.echo(f"       Repeat it: {_command(seed, outcome, large=large, dagster=dagster)}")
                file.write(json.dumps(outcome.as_record()) + "\n")
                file.flush()
                if stop_at and sum(bool(o.violations) for o in outcomes) >= stop_at:
                    break
    click.echo(summary(outcomes, seed, time.monotonic() - began))
    ctx.exit(1 if any(outcome.violations for outcome in outcomes) else 0)


def _command(seed: int, outcome: Outcome, *, large: bool, dagster: bool) -> str:
    """Return the command that repeats a round."""
    if large:
        start = "make chaos DAGSTER=1" if dagster else "make chaos"
        return f"{start} SEED={seed} ROUND={outcome.number} LOADED={outcome.old}"
    options = "--small --dagster" if dagster else "--small"
    return f"python -m chaos {options} --seed {seed} --round {outcome.number} --loaded {outcome.old}"


def summary(outcomes: list[Outcome], seed: int, seconds: float) -> str:
    """Return the last line: rounds, violations, and the longest that a reader waited."""
    broken = Counter(outcome.kind for outcome in outcomes if outcome.violations)
    longest = max((outcome.longest_wait_seconds for outcome in outcomes), default=0.0)
    reads = sum(outcome.reads for outcome in outcomes)
    found = ", ".join(f"{kind}: {number}" for kind, number in broken.items()) or "none"
    return (
        f"{len(outcomes)} rounds with seed {seed} in {seconds / 60:.1f} min, {sum(broken.values())} with violations "
        f"({found}); {reads:,} reads, the longest {longest:.2f} s."
    )


if __name__ == "__main__":
    main()
