"""`python -m taxi_assets.local [--no-dagster]`: the background process of `taxi up --detach`.

It reads no `.env`: the command that starts it has read it already and hands its environment on.
"""

import sys

from taxi_assets.errors import TaxiError
from taxi_assets.local.supervisor import run_foreground
from taxi_assets.settings import Settings

if __name__ == "__main__":
    try:
        # The command that started it compares after a crash.
        with_dagster = "--no-dagster" not in sys.argv[1:]
        run_foreground(Settings.from_environment(), dagster=with_dagster, report=print, when_up=lambda: None)
    except TaxiError as error:
        sys.exit(f"taxi: {error}")
