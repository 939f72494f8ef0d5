"""What two runs of a job left that disagreed: the logs of the first, which the second does not explain."""

import json
from pathlib import Path


def below(folder: Path) -> list[tuple[str, str]]:
    """A title and the last lines of each log, for each such job of the projects below a folder."""
    found = []
    for path in sorted(folder.glob("**/.bpfcompat/last/*.json")):
        try:
            record = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue  # a test tears it on purpose, or runs on
        if record.get("verdict", {}).get("classification") == "FLAKY":
            evidence = path.parents[1] / record["evidence"]
            found.append((f"first run of {record['job']}", f"{record['verdict']['reason']}\n{_ends_of_logs(evidence)}"))
    return found


def _ends_of_logs(evidence: Path) -> str:
    """The last lines of each log; the console's hold what the processes did when time was up."""
    ends = []
    for log in sorted(evidence.glob("*.log")):
        ends += [f"[{log.name}]", *log.read_text(errors="replace").splitlines()[-25:]]
    return "\n".join(ends)
