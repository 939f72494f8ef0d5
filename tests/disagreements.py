"""What two runs of a job left that disagreed: the logs of the first, which the second does not explain."""

from pathlib import Path

from bpfcompat.outcome import Classification
from bpfcompat.records import Newest, VerdictStore
from bpfcompat.report import text

_LINES = 25


def below(folder: Path) -> list[tuple[str, str]]:
    """A title and the last lines of each log, for each such job of the work directories in a folder, which may be one itself."""
    found = []
    for last in sorted(folder.glob("**/last")):
        newest = Newest(VerdictStore(last.parent))
        for record in filter(None, map(newest.last, newest.jobs())):
            if record.verdict.classification is Classification.FLAKY:
                ends = _ends_of_logs(last.parent / record.evidence)
                found.append((f"first run of {record.job}", f"{record.verdict.reason}\n{ends}"))
    return found


def _ends_of_logs(evidence: Path) -> str:
    """The console's hold what the processes did when time was up."""
    logs = sorted(evidence.glob("*.log"))
    return "\n".join(f"[{log.name}]\n{text.last_lines(log.read_text(errors='replace'), _LINES)}" for log in logs)
