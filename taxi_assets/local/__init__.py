"""The embedded default: PostgreSQL, the emulators and Dagster as processes of this machine.

Here belongs what `taxi up` starts, watches and stops. Nothing of it is used with `TAXI_ENV=cloud`.
"""
