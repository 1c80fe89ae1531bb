"""What each run would import: loaded once, in the process that runs are forked from."""

import dagster._cli  # noqa: F401  the command line, which is not imported by `import dagster`

import taxi_assets.definitions  # noqa: F401
