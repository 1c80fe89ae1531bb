"""The command `taxi`. It reads arguments and prints results; other modules do the work.

Modules are imported inside the commands that need them, so that `taxi --help` stays fast.
"""

import errno
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from dotenv import load_dotenv

from taxi_assets import __version__
from taxi_assets.cli import contract as cli_contract
from taxi_assets.cli import estimate as cli_estimate
from taxi_assets.cli import operate as cli_operate
from taxi_assets.cli import report as cli_report
from taxi_assets.cli import warehouse as cli_warehouse
from taxi_assets.cli.tables import table
from taxi_assets.errors import TaxiError
from taxi_assets.months import parse_month

if TYPE_CHECKING:
    from taxi_assets.settings import Settings

NOT_RUNNING = 3
# What users can cause: a path that does not fit, and a full disk.
FILE_ERRNOS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EEXIST)
FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)


class TaxiGroup(click.Group):
    """Ends every error meant for people as one line; anything else is a defect and keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except TaxiError as error:
            click.echo(f"taxi: {error}", err=True)
        except BrokenPipeError:
            # `taxi status | head`: nobody reads any more. Python would report it once more at its own end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            # Any other error of the operating system is a defect, whose traceback is wanted.
            if error.errno not in FULL_ERRNOS and (error.errno not in FILE_ERRNOS or error.filename is None):
                raise
            click.echo(f"taxi: {error.strerror}: {error.filename or 'free some space'}", err=True)
        return ctx.exit(1)


def _settings() -> "Settings":
    # Importing pydantic takes longer than `taxi --help` may.
    from taxi_assets.settings import Settings

    return Settings.from_environment()


@click.group(cls=TaxiGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="taxi")
def cli() -> None:
    """Taxi Assets: New York's taxi trip records, from published file to warehouse."""
    # As Dagster does; the real environment wins.
    load_dotenv(Path.cwd() / ".env", override=False)


@cli.command()
@click.option("--detach", is_flag=True, help="Run in the background; return when everything answers.")
@click.option("--no-dagster", is_flag=True, help="Only PostgreSQL and the emulators, without the UI and the daemon.")
def up(detach: bool, no_dagster: bool) -> None:
    """Start PostgreSQL, the emulators and Dagster on this machine, and stop them at Ctrl-C.

    After a crash, the months that were being written are compared with the lake, and loaded again if they differ.
    """
    from taxi_assets.local import state, supervisor

    settings = _settings()

    def compare() -> None:
        # What a stack without a crash does not need takes a second to import.
        if state.crashed_since(settings.data_dir) is not None:
            from taxi_assets.cli.after_crash import compare_unfinished

            compare_unfinished(settings, click.echo)

    if detach:
        supervisor.start_detached(settings, dagster=not no_dagster, report=click.echo)
        compare()
    else:
        supervisor.run_foreground(settings, dagster=not no_dagster, report=click.echo, when_up=compare)


@cli.command()
def down() -> None:
    """Stop what `taxi up` started; the data stays."""
    from taxi_assets.local import supervisor

    stopped = supervisor.stop(_settings())
    click.echo(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing is running.")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show what runs, and of each dataset what is loaded. Exit code 0 if all services run, 3 if not."""
    from taxi_assets.local import supervisor
    from taxi_assets.local.environment import environment, psycopg_url
    from taxi_assets.runtime import load_status

    settings = _settings()
    found = supervisor.status(settings)
    url = environment(settings).get("DAGSTER_POSTGRES_URL") or os.environ.get("DAGSTER_POSTGRES_URL", "")
    datasets = load_status.read(psycopg_url(url))
    # A text instead of an object is the reason why there is none.
    found["datasets"] = datasets
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(_headline(found))
        click.echo(_services_table(found["services"]))
        click.echo("\n" + cli_operate.datasets_table(datasets))
    ctx.exit(0 if found["running"] else NOT_RUNNING)


@cli.command()
def env() -> None:
    """Print the variables that dagster, psql and Google's clients need: eval "$(taxi env)"."""
    from taxi_assets.local.environment import DAGSTER_SCHEME, environment, leftovers, missing

    # Left by the local stack in this shell: they are unset first, here and there.
    for name in leftovers():
        del os.environ[name]
        click.echo(f"unset {name}")
    settings = _settings()
    for name, value in environment(settings).items():
        click.echo(f"export {name}={shlex.quote(value)}")
    if settings.env == "cloud" and not os.environ.get("DAGSTER_POSTGRES_URL", DAGSTER_SCHEME).startswith(
        DAGSTER_SCHEME
    ):
        # By the shell, which has the password already.
        click.echo(f'export DAGSTER_POSTGRES_URL="{DAGSTER_SCHEME}${{DAGSTER_POSTGRES_URL#*://}}"')
    if names := missing(settings):
        click.echo(f"taxi: TAXI_ENV=cloud also needs {', '.join(names)}; set them as in .env.example.", err=True)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check what a load will need: one line a check, with what to do.

    A probe object and a probe table are made and deleted; no data is changed. Exit code 0 if all is well, 1 if
    something will fail, 2 if nothing fails but something could not be checked.
    """
    from taxi_assets.cli import doctor as module

    ctx.exit(module.run(as_json))


@cli.command()
@click.option("--dataset", "datasets", multiple=True, help="A dataset; may be repeated. Default: yellow and green.")
@click.option("--month", "months", multiple=True, help="A month, as 2020-04; may be repeated. Default: three eras.")
def demo(datasets: tuple[str, ...], months: tuple[str, ...]) -> None:
    """Take a few months through all five assets, start to end, show what came of them, and draw them."""
    from taxi_assets.cli import demo as module

    module.run_demo(
        _settings(),
        datasets or module.DATASETS,
        [parse_month(month) for month in months] or module.MONTHS,
        click.echo,
    )


@cli.command()
@click.argument("dataset")
@click.argument("months", metavar="MONTH[..MONTH]")
@click.option("--force", is_flag=True, help="Clean and load also what is up to date already.")
@click.pass_context
def materialize(ctx: click.Context, dataset: str, months: str, force: bool) -> None:
    """Take months of DATASET through all five assets: download, clean, publish, and load both warehouses.

    One month, as 2020-04, or all from one to another, as 2020-01..2020-06; one after the other, each a run in Dagster's
    UI. What is up to date is not done again. Exit code 0 if all succeeded, 1 if one failed, 130 after Ctrl-C.
    """
    from taxi_assets.cli import materialize as module

    try:
        failed = module.materialize(_settings(), dataset, months, force=force, log=click.echo)
    except KeyboardInterrupt:
        click.echo("taxi: stopped; the month under way is as it was before.", err=True)
        ctx.exit(130)
    for run in failed:
        click.echo(f"taxi: {run.title} failed at {run.failure}", err=True)
    ctx.exit(1 if failed else 0)


@cli.command()
@click.argument("dataset")
@click.argument("month")
@click.option("--rows", type=int, help="Number of rows, up to 25 million; by default it depends on the month.")
@click.option("--format", "file_format", help="csv.gz, csv or parquet; by default what TLC published then.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder to write to.")
def sample(dataset: str, month: str, rows: int | None, file_format: str | None, out: Path) -> None:
    """Write a made-up file in TLC's format: DATASET as yellow, MONTH as 2020-04."""
    from taxi_assets.sample.files import write_sample

    out.mkdir(parents=True, exist_ok=True)
    path = write_sample(dataset, parse_month(month), out, rows=rows, file_format=file_format)
    click.echo(f"{path}  {path.stat().st_size:,} bytes  (a sample made on this machine, not TLC's data)")


cli.add_command(cli_contract.contract)
cli.add_command(cli_contract.inspect)
cli.add_command(cli_estimate.estimate)
cli.add_command(cli_operate.verify)
cli.add_command(cli_report.report)
cli.add_command(cli_warehouse.migrate)
cli.add_command(cli_warehouse.rebuild)


def _headline(found: dict[str, Any]) -> str:
    if found["running"]:
        return f"running: {found['ui'] or 'without Dagster'}"
    return f"{found['phase']}: {found['reason']}" if found["reason"] else str(found["phase"])


def _services_table(services: dict[str, dict[str, Any]]) -> str:
    rows = [("SERVICE", "STATE", "PID", "UPTIME", "ADDRESS", "LOG")]
    for name, service in services.items():
        uptime = service["uptime_seconds"]
        pid = str(service["pid"] or "-")
        rows.append((name, service["state"], pid, _duration(uptime), service["address"], service["log"]))
    return table(rows)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def main() -> None:
    """Run the command `taxi`."""
    cli(prog_name="taxi")


if __name__ == "__main__":
    main()
