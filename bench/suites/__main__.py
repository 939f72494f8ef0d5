"""`./dev peers`: run the suites, compare what failed with what is explained, and write the grid and its page."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from bench.suites import build, grid, outcome
from bench.suites.build import Suite

_ROOT = Path(__file__).parents[2]
_WORK = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bpfcompat-peers"
_SECONDS = 900
_RUNS_GO = "link"
"""One of its tests puts a probe on the program go of the Go that it was built with."""


def main() -> int:
    """Run them and return 0 if every failure is explained, and every explanation still holds."""
    parser = argparse.ArgumentParser(prog="./dev peers", description="cilium/ebpf's own tests on five kernels")
    parser.add_argument("--work", type=Path, default=_WORK, metavar="FOLDER")
    parser.add_argument("--write", action="store_true", help="write docs/suites.md and docs/images/suites.svg")
    options = parser.parse_args()
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    tree = build.sources(options.work)
    suites = build.suites(tree, options.work / "bin")
    (options.work / "bpfcompat.yaml").write_text(yaml.safe_dump(_project(suites), sort_keys=False, width=1000))
    command = [sys.executable, "-m", "bpfcompat", "run", "--out", "report.json"]
    ended = subprocess.run(command, cwd=options.work, check=False)
    if ended.returncode not in {0, 2}:  # 2: something failed, which is looked at below
        return ended.returncode
    report = options.work / "report.json"
    found, known = outcome.cells(report), outcome.reasons()
    if options.write:
        (_ROOT / "docs/images/suites.svg").write_text(grid.svg(found, known, _releases(report)))
        (_ROOT / "docs/suites.md").write_text(grid.page(found, known))
    said = outcome.complaints(found, known)
    print(*said, f"{len(found)} cells, {len(said)} complaints", sep="\n")
    return 1 if said else 0


def _project(suites: list[Suite]) -> dict[str, object]:
    """Return the project: a check for each suite, which runs in its package's folder as `go test` would run it."""
    matrix = yaml.safe_load((_ROOT / "matrices/mvp.yaml").read_text())["profiles"]
    root = subprocess.run(["go", "env", "GOROOT"], check=True, capture_output=True, text=True).stdout.strip()
    go = f"{root}/bin/go"
    return {
        "timeout": f"{_SECONDS}s",
        "checks": [
            {
                "name": suite.name, "binary": f"bin/{suite.binary.name}", "bundle_libs": True,
                "files": {"src": "/src", **({go: go} if suite.name == _RUNS_GO else {})},
                "env": {"GOROOT": root} if suite.name == _RUNS_GO else {},
                "command": f"cd /src/{suite.package} && exec $BPFCOMPAT_BIN -test.v -test.timeout {_SECONDS - 60}s",
            }
            for suite in suites
        ],
        "matrix": [{**profile, "cpus": 2, "memory": "2G", "required": True} for profile in matrix],
    }  # fmt: skip


def _releases(report: Path) -> dict[str, str]:
    targets = json.loads(report.read_bytes())["targets"]
    return {target["profile_id"]: target["host"]["kernel"] for target in targets if "host" in target}


if __name__ == "__main__":
    sys.exit(main())
