"""Steps on other machines, for TAXI_EXECUTOR=celery: queues, the run's side and the workers' side.

Nothing here knows what a step does: what the machines share is the lake, Dagster's database and the warehouses.
"""
