"""A campaign of random faults against the embedded stack: `make chaos`; see docs/reliability.md."""
