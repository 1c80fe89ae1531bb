"""`python -m taxi_assets_tests.support.marts_process STATEMENT`: dbt's process, which kills itself at a statement.

The statement is counted among those that change or read rows, of either warehouse, when it has been done.
"""

import itertools
import os
import signal
import sys
from typing import Any

from dbt.adapters.bigquery.connections import BigQueryConnectionManager
from dbt.adapters.sql.connections import SQLConnectionManager

from taxi_assets.marts import dbt_process


def main() -> None:
    """Run dbt until that statement."""
    last, done = int(sys.argv[1]), itertools.count(1)
    for owner in (BigQueryConnectionManager, SQLConnectionManager):
        original = owner.execute

        def execute(*arguments: Any, original: Any = original, **named: Any) -> Any:
            result = original(*arguments, **named)
            if next(done) == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        owner.execute = execute
    dbt_process.main()


if __name__ == "__main__":
    main()
