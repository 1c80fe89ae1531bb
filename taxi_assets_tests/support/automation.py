"""What the automation conditions of assets request."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg


def evaluate(*arguments: Any, **more: Any) -> dg.EvaluateAutomationConditionsResult:
    """Return the result of `dg.evaluate_automation_conditions` with the same arguments.

    It runs a loop of events, which must be the thread's only one, and the main thread has Playwright's.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(dg.evaluate_automation_conditions, *arguments, **more).result()
