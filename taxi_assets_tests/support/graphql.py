"""Asking a webserver as Dagster's UI does."""

import http.client
import json
from typing import Any

from taxi_assets.local.ports import LOOPBACK
from taxi_assets_tests.support.waiting import HANG_SECONDS


def graphql(port: int, query: str, variables: dict[str, Any]) -> Any:
    """Return the data of the answer of the webserver at that port of this machine."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=HANG_SECONDS)
    body = json.dumps({"query": query, "variables": variables})
    connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    assert "errors" not in answer, answer
    return answer["data"]
