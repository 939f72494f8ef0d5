"""bench/history.jsonl: a line a bench, by machine, so that a slower commit shows."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

from bench.measure import Row
from bpfcompat.system import host

FILE = Path(__file__).with_name("history.jsonl")
_SLOWER = 1.15
"""Ratios within one run differ by less between two runs of one commit."""


def machine() -> dict[str, Any]:
    """Return what results of one machine have in common."""
    models = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "processors": host.processors(),
        "qemu": host.qemu_version("qemu-system-x86_64"),
    }


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def compared(rows: list[Row]) -> list[str]:
    """Return a line for each ratio that is worse than when this machine was measured last."""
    known = [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []
    before = next((entry for entry in reversed(known) if entry["machine"] == machine()), None)
    if before is None:
        return ["there is no earlier bench of this machine to compare with"]
    worse = [
        f"{row.what}: {row.median:.2f} {row.unit}, and {was:.2f} at {before['commit']}"
        for row in rows
        if row.unit == "times" and not row.more_is_better
        and (was := before["medians"].get(row.what)) and row.median > was * _SLOWER
    ]  # fmt: skip
    return worse or [f"no ratio is worse than at {before['commit']}"]


def append(rows: list[Row]) -> None:
    """Add the medians of a bench."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=FILE.parent, capture_output=True, text=True, check=False
    )
    entry = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": commit.stdout.strip(),
        "machine": machine(),
        "medians": {row.what: round(row.median, 3) for row in rows},
    }
    with FILE.open("a") as file:
        file.write(json.dumps(entry) + "\n")
