"""`python -m taxi_assets_tests.support.marts_process STATEMENT [FILE]`: dbt's process, which ends at a statement.

The statement is counted among those that change or read rows, of either warehouse, when it has been done. The process
kills itself there, or writes its number into the file and hangs.
"""

import itertools
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from dbt.adapters.bigquery.connections import BigQueryConnectionManager
from dbt.adapters.sql.connections import SQLConnectionManager

from taxi_assets.marts import dbt_process
from taxi_assets_tests.support.waiting import HANG_SECONDS


def main() -> None:
    """Run dbt until that statement."""
    last, done = int(sys.argv[1]), itertools.count(1)
    for owner in (BigQueryConnectionManager, SQLConnectionManager):
        original = owner.execute

        def execute(*arguments: Any, original: Any = original, **named: Any) -> Any:
            result = original(*arguments, **named)
            if next(done) == last:
                _end()
            return result

        owner.execute = execute
    dbt_process.main()


def _end() -> None:
    if len(sys.argv) < 3:
        os.kill(os.getpid(), signal.SIGKILL)
    part = Path(f"{sys.argv[2]}.part")
    part.write_text(f"{os.getpid()}")
    part.replace(sys.argv[2])
    time.sleep(HANG_SECONDS)


if __name__ == "__main__":
    main()
