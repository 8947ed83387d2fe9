"""Looks up every pinned package among known vulnerabilities (`make audit`).

    python deploy/audit.py deploy/requirements-dev.lock

Exit 1 on a finding, or if the tool fails. Where no database answers, as behind a mirror without one, that is said, and
the exit is 0: no build waits for somebody else's server.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TOOL = "pip-audit==2.10.1"
LIMIT_S = 600
_UNREACHABLE = ("Could not connect", "Connection", "timed out", "Failed to fetch", "error sending request", "dns error")


def main(lock: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        try:
            errors = _audit(lock, report)
        except subprocess.TimeoutExpired:
            return _say(0, f"audit: not done, the database has not answered for {LIMIT_S} s")
        if report.is_file() and report.stat().st_size:
            return verdict(json.loads(report.read_bytes()))
    return unfinished(errors)


def verdict(report: dict[str, Any]) -> int:
    """What pip-audit's JSON report comes to: exit status."""
    asked = [one for one in report["dependencies"] if "skip_reason" not in one]
    found = [(one, flaw) for one in asked for flaw in one["vulns"]]
    for one, flaw in found:
        mended = ", ".join(flaw["fix_versions"]) or "no version"
        _say(1, f"audit: {one['name']} {one['version']} has {flaw['id']}, mended in {mended}")
    if found:
        return _say(1, "audit: raise the bound in pyproject.toml and run `make lock`")
    if not asked:
        return _say(0, "audit: not done, the package index here has no vulnerability database")
    skipped = len(report["dependencies"]) - len(asked)
    return _say(0, f"audit: {len(asked)} packages without known vulnerabilities, {skipped} not in the database")


def unfinished(errors: str) -> int:
    """What it means that there is no report: exit status."""
    last = (errors.strip().splitlines() or ["no message"])[-1]
    if any(sign in errors for sign in _UNREACHABLE):
        return _say(0, f"audit: not done, the database cannot be reached ({last})")
    return _say(1, f"audit: the tool failed\n{errors}")


def _audit(lock: Path, report: Path) -> str:
    """Run the tool in an environment of its own; returns what it says on stderr."""
    uv = Path(sys.executable).with_name("uv")
    tool = [str(uv), "tool", "run", "-q", "--from", TOOL, "pip-audit"]
    asks = ["--require-hashes", "--disable-pip", "-r", str(lock), "--progress-spinner", "off", "-f", "json"]
    done = subprocess.run([*tool, *asks, "-o", str(report)], capture_output=True, text=True, timeout=LIMIT_S)
    return done.stderr


def _say(status: int, text: str) -> int:
    sys.stdout.write(text + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
