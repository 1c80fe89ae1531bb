"""What multiprocessing's fork server imports first: importing this module preloads the code of runs."""

from taxi_assets.runtime.fork_server import become_fork_server

become_fork_server()
