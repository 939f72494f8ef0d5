"""Imports go downward only: a module may import what stands before it here, and nothing else of the package."""

import ast
from pathlib import Path

import bpfcompat

PACKAGE = Path(bpfcompat.__file__).parent

ORDER = [
    "validation", "model", "errors", "bpf", "guest", "findings",
    "digest", "elf", "atomic", "processes",
    "host", "disk", "document", "schema", "store",
    "kernels.modules", "kernels.image", "kernels.facts", "kernels.features", "kernels.needs",
    "kernels.store", "kernels.lock", "kernels.tree", "kernels.unpack", "kernels.download",
    "kernels.sources", "kernels.sources.apt", "kernels.sources.deb", "kernels.sources.rpm", "kernels.sources.dir",
    "kernels.sources.host", "kernels.sources.oci", "kernels.sources.path", "kernels",
    "kernels.sweep", "matrix", "manifest", "config",
    "guest.initramfs", "guest.libraries", "guest.tools", "guest.build", "guest.rootfs", "guest.preflight",
    "guest.validator", "guest.payload",
    "qemu", "console", "qmp",
    "verdict", "machine", "accelerator", "bootimage", "runner",
    "machines", "jobs", "hints", "session", "doctor", "explain", "transfer",
    "history",
    "report", "report.text", "report.gate", "report.identity", "report.view", "report.artifact",
    "report.table", "report.document", "report.progress", "report.markdown", "report.junit", "report.html", "report.output",
    "compare",
    "builds", "tasks", "engine", "probing",
    "", "cli.common", "cli.init", "cli.run", "cli.explain", "cli.logs", "cli.report", "cli.compare", "cli.history",
    "cli.kernels", "cli.doctor", "cli.cache",
    "cli.test_command", "cli.test", "cli", "__main__",
]  # fmt: skip


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _imported(tree: ast.AST) -> set[str]:
    """The package's modules that a module imports, by the names of ORDER."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "bpfcompat":
            below = node.module.partition(".")[2]
            for alias in node.names:
                inner = f"{below}.{alias.name}".strip(".")
                found.add(inner if inner in ORDER else below)
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[2] for alias in node.names if alias.name.split(".")[0] == "bpfcompat"}
    return found


def test_every_module_has_its_place_and_imports_downward():
    modules = {_name(path): path for path in PACKAGE.rglob("*.py")}
    assert set(modules) <= set(ORDER), set(modules) - set(ORDER)
    upward = [
        f"{name} imports {other}"
        for name, path in modules.items()
        for other in _imported(ast.parse(path.read_text()))
        if ORDER.index(other) >= ORDER.index(name)
    ]
    assert not upward


def test_each_library_is_known_to_few_modules():
    users: dict[str, set[str]] = {"doit": set(), "pexpect": set(), "yaml": set()}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            roots = (
                [node.module]
                if isinstance(node, ast.ImportFrom)
                else ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
            )
            for root in roots:
                if (root or "").split(".")[0] in users and isinstance(node, ast.Import | ast.ImportFrom):
                    users[root.split(".")[0]].add(_name(path))
    assert users == {"doit": {"tasks", "engine"}, "pexpect": {"console"}, "yaml": {"document"}}


def test_the_path_that_boots_nothing_loads_no_library_of_the_boot():
    """`bpfcompat init` and a run of stored verdicts must not pay for pexpect, ELF files or JSON Schema of reports."""
    import subprocess
    import sys

    code = "import sys, bpfcompat.cli; print([m for m in ('pexpect', 'elftools', 'jsonschema', 'doit', 'tabulate') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
