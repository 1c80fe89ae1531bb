"""A configured proxy, and the loopback address, which it must not be asked for."""

import os
from collections.abc import Mapping

from taxi_assets.local.ports import LOOPBACK


def bypass_for_loopback(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that bypass a configured proxy for the loopback address; none if there is nothing to set."""
    if not any(environ.get(name) for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")):
        return {}
    current = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if current == "*" or LOOPBACK in current.split(","):
        return {}
    value = ",".join(part for part in (current, LOOPBACK, "localhost") if part)
    return {"no_proxy": value, "NO_PROXY": value}
