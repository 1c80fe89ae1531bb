"""What `taxi doctor` prints."""

import json
from dataclasses import asdict

import click

from taxi_assets.cli.tables import table
from taxi_assets.doctor.check import exit_code
from taxi_assets.doctor.examination import examine

MARKS = {"ok": "✓", "warning": "!", "failed": "✗", "unchecked": "?"}


def run(as_json: bool) -> int:
    """Run all checks, print a line for each result, and return the exit code."""
    lines = examine()
    code = exit_code(lines)
    if as_json:
        click.echo(json.dumps({"exit_code": code, "checks": [asdict(line) for line in lines]}, indent=2))
    else:
        click.echo(table([(MARKS[line.status], line.check, line.text) for line in lines]))
    return code
