"""Checks of this machine: disk, memory, clock, ports, Python and packages."""

import re
import shutil
import sys
import time
from email.utils import parsedate_to_datetime
from importlib import metadata
from urllib.parse import urlsplit

import psutil
import requests

from taxi_assets.doctor.check import Check, Result, ok
from taxi_assets.download.fingerprint import redact
from taxi_assets.local import ports, state
from taxi_assets.local.environment import ports as port_settings
from taxi_assets.settings import PROJECT_ROOT, Settings, split_templates

GIB = 2**30
# The largest months: 500 MB as published, twice that while cleaned, and both warehouses beside it.
DISK_LOW, DISK_LEAST = 20 * GIB, 2 * GIB
MEMORY_LEAST = 2 * GIB
CLOCK_SECONDS = 300.0
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)")


def checks(settings: Settings) -> list[Check]:
    """Return the checks of this machine."""
    return [
        Check("disk", lambda: _disk(settings)),
        Check("memory", _memory),
        Check("clock", lambda: _clock(settings)),
        Check("ports", lambda: _ports(settings)),
        Check("Python", _python),
        Check("packages", _packages),
    ]


def _disk(settings: Settings) -> list[Result]:
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / GIB:.1f} GiB are free in {folder}"
    if free < DISK_LEAST:
        return [Result("failed", f"{text}; free some space, or set TAXI_DATA_DIR to a folder on a larger disk.")]
    if free < DISK_LOW:
        return [Result("warning", f"{text}; the largest months need up to {DISK_LOW // GIB} GiB.")]
    return ok(text + ".")


def _memory() -> list[Result]:
    available = psutil.virtual_memory().available
    text = f"{available / GIB:.1f} GiB of memory are available"
    if available < MEMORY_LEAST:
        return [Result("warning", f"{text}; two runs of large months need {MEMORY_LEAST // GIB} GiB, so end others.")]
    return ok(text + ".")


def _clock(settings: Settings) -> list[Result]:
    """Compare the clock with the Date of whoever answers first: the source, or Google."""
    templates = [] if settings.source == "sample" else split_templates(settings.source)
    hosts = [f"{urlsplit(t).scheme}://{urlsplit(t).netloc}" for t in templates if t.startswith("http")]
    if settings.env == "cloud":
        hosts.append("https://storage.googleapis.com")
    for host in hosts:
        try:
            date = requests.head(host, timeout=5, allow_redirects=False).headers.get("Date")
            offset = time.time() - parsedate_to_datetime(date or "").timestamp()
        except (requests.RequestException, ValueError):
            continue
        text = f"The clock differs by {abs(offset):.0f} s from that of {redact(host)}"
        if abs(offset) > CLOCK_SECONDS:
            return [Result("failed", f"{text}; set it, since Google refuses credentials of a wrong time.")]
        return ok(text + ".")
    if hosts:
        return [Result("unchecked", "No server answered with its time, to compare the clock with.")]
    return ok("Everything is on this machine, so there is no other clock to agree with.")


def _ports(settings: Settings) -> list[Result]:
    if settings.env == "cloud":
        return ok("No port of this machine is needed in the cloud environment.")
    stack = state.read(settings.data_dir)
    if stack is not None and stack.supervised():
        return ok("The local stack listens on its ports.")
    ports.refuse_taken(port_settings(settings))
    return ok("The ports of the local stack are free.")


def _python() -> list[Result]:
    """Show the version; pyproject.toml lets no older one install this."""
    return ok(f"Python {'.'.join(map(str, sys.version_info[:3]))}.")


def _packages() -> list[Result]:
    """Compare what is installed with the pins."""
    path = PROJECT_ROOT / "constraints.txt"
    if not path.exists():
        return [Result("unchecked", f"{path} is not there, so the packages were compared with nothing.")]
    equal, other = 0, []
    pins = [match for line in path.read_text().splitlines() if (match := _PIN.match(line))]
    for pin in pins:
        try:
            found = metadata.version(pin[1])
        except metadata.PackageNotFoundError:
            # An extra, or a package of another platform.
            continue
        equal += found == pin[2]
        if found != pin[2]:
            other.append(f"{pin[1]} {found} instead of {pin[2]}")
    if other:
        more = f" and {len(other) - 5} more" if len(other) > 5 else ""
        return [Result("warning", f"Other versions than tested: {', '.join(other[:5])}{more}; run `make install`.")]
    return ok(f"{equal} of {len(pins)} pinned packages are installed, each in the tested version.")
