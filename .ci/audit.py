"""`make audit`: look the installed packages up among known vulnerabilities; exit 1 if there are any.

Where PyPI's advisories cannot be asked, pip-audit ends well or with a traceback, as it happens. Here that is said, and
is no failure: a build machine without a way out must not stop the others' work.
"""

import json
import subprocess
import sys
from typing import Any

COMMAND = ["-m", "pip_audit", "--local", "--skip-editable", "--progress-spinner", "off", "--format", "json"]


def verdict(output: str, complaint: str) -> tuple[list[str], int]:
    """Return what to print and the exit code, from what pip-audit printed and complained of."""
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        last = complaint.strip().splitlines()[-1:] or ["without a word"]
        return [f"audit: NOT DONE. The advisory service could not be asked ({last[0][:200]})."], 0
    found = [
        f"audit: {package['name']} {package['version']} has {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'no version yet'}."
        for package in packages
        for hole in package.get("vulns", [])
    ]
    asked = [package["name"] for package in packages if "skip_reason" not in package]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if not asked:
        return [f"audit: NOT DONE. The advisory service knows none of the {len(skipped)} packages from here."], 0
    if skipped:
        found.append(f"audit: not looked up: {', '.join(skipped)}.")
    holes = sum(len(package.get("vulns", [])) for package in packages)
    return [*found, f"audit: {len(asked)} packages looked up, {holes} known vulnerabilities."], int(holes > 0)


if __name__ == "__main__":
    done = subprocess.run([sys.executable, *COMMAND], capture_output=True, text=True, timeout=300, check=False)
    lines, code = verdict(done.stdout, done.stderr)
    print("\n".join(lines))
    sys.exit(code)
