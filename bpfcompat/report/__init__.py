"""A run as people and programs read it: report.json, and the table, Markdown, JUnit and HTML that are made of it.

In comes a `Run`; out come documents, an exit code, and rows on a terminal while the run goes on. Only `output` and
`progress` write; everything else here is pure.
"""

from bpfcompat.report.progress import Progress
from bpfcompat.report.text import plain

__all__ = ["Progress", "compare", "gate", "merge", "output", "plain", "view"]
