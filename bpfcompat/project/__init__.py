"""What the user wrote -> a `Project`.

In come bpfcompat.yaml, a matrix and a manifest; out come frozen dataclasses in which every name is known and every value is
in its range. A mistake is one sentence with file, line and what was probably meant.
"""

from bpfcompat.project.config import (
    FILE_NAME,
    WORKDIR_NAME,
    load_project,
    project_file,
    refuse_long_command,
    refuse_unknown_profiles,
)

__all__ = [
    "FILE_NAME", "WORKDIR_NAME", "brought", "load_project", "manifest", "matrix", "project_file", "refuse_long_command",
    "refuse_unknown_profiles", "schema", "shard",
]  # fmt: skip
