"""`./dev bench`: what the product costs, measured side by side in one run; prints one table and writes one JSON file.

Machines are shared and noisy: what is compared is run in turns, and what is told is the median.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tabulate import tabulate

from bench import history, peers, ratios, scenes
from bench.measure import Row
from bpfcompat.system import host


def main() -> int:
    """Measure everything and return 0; a target that was missed is told, and is not an error."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repeat", type=int, default=7, metavar="N", help="runs of each short measurement (default: 7)"
    )
    parser.add_argument("--only", metavar="WORD", default="", help="only the measurements whose name holds this word")
    parser.add_argument("--keep", action="store_true", help="add a part, too, to bench/history.jsonl, as all is")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), metavar="FILE")
    options = parser.parse_args()
    rows: list[Row] = []
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bpfcompat-bench.") as scratch:
        for measure in (ratios.ratios, *scenes.ALL, *peers.ALL):
            if options.only in measure.__name__:
                folder = Path(scratch) / measure.__name__
                folder.mkdir()
                print(f"bench: {measure.__name__} ...", file=sys.stderr, flush=True)
                rows += measure(folder, options.repeat)
                _write(options.out, rows)  # each time: what was measured is not lost to what fails later
    table = [
        [row.what, row.shown(row.median), row.shown(row.least), row.runs, row.target_shown(), row.verdict]
        for row in rows
    ]
    print(tabulate(table, ["what", "median", "least", "runs", "target", ""], disable_numparse=True))
    print(
        f"\n{host.processors()} processors, QEMU {host.qemu_version('qemu-system-x86_64')}; all values: {options.out}"
    )
    print("\n".join(history.compared(rows)))
    if not options.only or options.keep:
        history.append(rows)
    return 0


def _write(path: Path, rows: list[Row]) -> None:
    machine = {
        "qemu": host.qemu_version("qemu-system-x86_64"),
        "processors": host.processors(),
        "memory_mib": host.memory_available_mib(),
    }
    path.write_text(json.dumps({"machine": machine, "rows": [vars(row) for row in rows]}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
