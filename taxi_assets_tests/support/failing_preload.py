"""A preload of the fork server that fails, as `become_fork_server` ends when it does."""

raise SystemExit(1)
