"""What `make audit` makes of pip-audit's answers: a hole fails, and a service that is not there is named."""

import importlib.util
import json
from types import ModuleType

import pytest

from taxi_assets.settings import PROJECT_ROOT

GOOD = {"name": "attrs", "version": "26.1.0", "vulns": []}
BAD = {"name": "jinja2", "version": "2.4.1", "vulns": [{"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"]}]}
SKIPPED = {"name": "pyarrow", "skip_reason": "Dependency not found on PyPI and could not be audited: pyarrow (26.0.1)"}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", PROJECT_ROOT / ".ci" / "audit.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([GOOD], 0, ["1 packages looked up, 0 known vulnerabilities"]),
        ([GOOD, BAD], 1, ["jinja2 2.4.1 has PYSEC-2019-217, mended in 2.10.1", "2 packages looked up, 1 known"]),
        ([GOOD, SKIPPED], 0, ["not looked up: pyarrow", "1 packages looked up"]),
        ([BAD, SKIPPED], 1, ["PYSEC-2019-217", "not looked up: pyarrow"]),
        ([SKIPPED, SKIPPED], 0, ["NOT DONE", "none of the 2 packages"]),
    ],
)
def test_verdict(audit: ModuleType, packages: list[dict[str, object]], code: int, said: list[str]) -> None:
    lines, found = audit.verdict(json.dumps({"dependencies": packages}), "")
    assert found == code
    assert all(any(part in line for line in lines) for part in said), lines


def test_a_service_that_does_not_answer_is_said_and_no_failure(audit: ModuleType) -> None:
    lines, code = audit.verdict("", "Traceback ...\nConnectionError: no route to host")
    assert code == 0
    assert lines == ["audit: NOT DONE. The advisory service could not be asked (ConnectionError: no route to host)."]
