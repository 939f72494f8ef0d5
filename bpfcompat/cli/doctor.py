"""`bpfcompat doctor`: can the project here run on this machine, and if not, what is to be done?"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from bpfcompat.project import FILE_NAME, load_project
from bpfcompat.system import atomic, host


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Examine this machine, and the project here if there is one; raises BpfcompatError for a mistake in it."""
    from bpfcompat.workflow import doctor

    project = load_project(Path()) if Path(FILE_NAME).exists() else None
    found = list(doctor.examine(project, host.cache_folder()))
    lacking = [finding for finding in found if finding.health is doctor.Health.LACKING]
    if options.json:
        sys.stdout.write(atomic.json_text({"ok": not lacking, "findings": [asdict(finding) for finding in found]}))
        return 1 if lacking else 0
    width = max(len(finding.what) for finding in found)
    for finding in found:
        sys.stdout.write(f"{finding.health.value:7}  {finding.what:{width}}  {finding.said}\n")
        if finding.hint:
            sys.stdout.write(f"{'':7}  {'':{width}}  hint: {finding.hint}\n")
    of = "this project" if project else "a project"
    sys.stdout.write(f"\n{of} cannot run here yet: see `lacking`\n" if lacking else f"\n{of} can run here\n")
    return 1 if lacking else 0
