"""`python runs_process.py DATASET MONTH...`: run months, six at a time, each in a process, as Dagster does.

The processes are forked from one that has loaded the code, which takes longer than a month of samples. Each
month's end is printed, with whether its run succeeded.
"""

import multiprocessing
import sys

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository


def run(dataset: str, month: str) -> None:
    with dg.DagsterInstance.get() as instance:
        job = ReconstructableRepository.for_module("taxi_assets.definitions", "defs")
        tags = {"dagster/partition": month}
        with dg.execute_job(job.get_reconstructable_job(f"{dataset}_month_job"), instance, tags=tags) as result:
            print(month, result.success, flush=True)


if __name__ == "__main__":
    dataset, *months = sys.argv[1:]
    ReconstructableRepository.for_module("taxi_assets.definitions", "defs").get_definition()
    with multiprocessing.get_context("fork").Pool(6, maxtasksperchild=1) as pool:
        pool.starmap(run, [(dataset, month) for month in months], chunksize=1)
