"""Checks of `taxi doctor`: bounded, independent, and without exceptions."""

import threading

from taxi_assets.doctor.check import Check, Line, exit_code, ok, run_checks
from taxi_assets.errors import ServiceError


def test_a_check_that_raises_or_hangs_leaves_the_others_their_results():
    def raises(error: Exception):
        raise error

    def hangs():
        threading.Event().wait()
        return []

    checks = [
        Check("sentence", lambda: raises(ServiceError("Set it."))),
        Check("defect", lambda: raises(KeyError("x"))),
        Check("hangs", hangs),
        Check("well", lambda: ok("Fine.")),
    ]
    lines = run_checks(checks, seconds=1)
    assert [(line.check, line.status) for line in lines] == [
        ("sentence", "failed"),
        ("defect", "unchecked"),
        ("hangs", "unchecked"),
        ("well", "ok"),
    ]
    assert lines[0].text == "Set it."


def test_exit_codes():
    well, bad, unknown = (Line("c", status, "") for status in ("warning", "failed", "unchecked"))
    assert exit_code([well]) == 0
    assert exit_code([well, unknown, bad]) == 1
    assert exit_code([well, unknown]) == 2
