"""Nothing declared is ignored: every key of every schema changes what is run, or is refused; every field is read."""

import ast
import dataclasses
import json
from pathlib import Path

import pytest

import bpfcompat
from bpfcompat import model, validation
from bpfcompat.errors import BpfcompatError
from bpfcompat.project import load_project, matrix, schema

PACKAGE = Path(bpfcompat.__file__).parent
KERNELS = "matrix: [{id: a, kernel: path:k}]\n"

PROJECT = {
    "command": "command: other",
    "binary": "binary: loader",
    "bundle_libs": "bundle_libs: true",
    "artifact": "artifact: x.bpf.o",
    "manifest": "manifest: m.yaml",
    "validation_mode": "validation_mode: load_only",
    "files": "files: {data: /opt/data}",
    "env": "env: {A: b}",
    "expect": "expect: {exit: 3}",
    "results": "results: {format: go}",
    "ready": "ready: {stdout: up}",
    "while_ready": "while_ready: other",
    "timeout": "timeout: 5s",
    "collect": "collect: [core.*]",
    "collect_limit": "collect_limit: 5M",
    "checks": "checks: [{name: a, command: x}]",
    "matrix": "matrix: [{id: b, kernel: path:k}]",
    "guest": "guest: {tools: [./tool]}",
    "boot": "boot: cold",
    "accel": "accel: tcg",
    "retries": "retries: 3",
    "redact": "redact: true",
    "limits": "limits: distribution",
    "cluster": "cluster: {address: 'tls://scheduler:8786', same: true, tls: keys}",
    "store": "store: s3://bucket/verdicts",
    "trust_imported": "trust_imported: false",
}
"""An example of every key at the top that is not its default."""
CHECK = {key: PROJECT[key] for key in ("command", "binary", "bundle_libs", "artifact", "manifest", "validation_mode",
                                       "files", "env", "expect", "results", "ready", "while_ready", "timeout",
                                       "collect", "collect_limit")}  # fmt: skip
CHECK_ALONE = {**CHECK, "guest": "guest: {modules: [bridge]}"}
NEEDS = {
    "bundle_libs": "binary: loader",
    "while_ready": "ready: {stdout: up}",
    "manifest": "artifact: x.bpf.o",
    "validation_mode": "artifact: x.bpf.o",
    "collect_limit": "collect: [x]",
}
"""What has to stand beside a key."""
OF_OBJECTS = ("manifest", "validation_mode")
EXPECT = {"exit": 3, "stdout": "x", "stderr": "x", "not_stdout": "x", "not_stderr": "x", "kernel": "clean"}
READY = {"stdout": "x", "stderr": "x", "file": "x", "notify": True, "within": "3s", "signal": "TERM", "exit": 3}
GUEST = {"tools": ["./tool"], "rootfs": "tree", "modules": ["bridge"]}
PROFILE = {
    "id": "b", "kernel": "path:other", "modules": "m", "config": "c", "required": False, "expect": "fail", "timeout": "5s",
    "memory": "1G", "cpus": 2, "cmdline": "quiet", "limits": "distribution", "headers": True, "guest": {"modules": ["bridge"]},
    "sha256": "0" * 64, "key": "k.asc", "arch": "arm64",
}  # fmt: skip


def properties(name, *path):
    value = json.loads((schema.FOLDER / f"{name}.schema.json").read_text())
    for step in path:
        value = value[step]
    return value["properties"]


def loaded(folder, text):
    (folder / "m.yaml").write_text("maps: [{name: m, max_entries: 5}]\n")
    (folder / "bpfcompat.yaml").write_text(text)
    return load_project(folder)


@pytest.mark.parametrize(
    ("examples", "keys"),
    [
        (PROJECT, properties("project")),
        ({"name": "", **CHECK_ALONE}, properties("project", "$defs", "check")),
        (EXPECT, properties("project", "$defs", "expect")),
        (READY, properties("project", "$defs", "ready")),
        (GUEST, properties("project", "properties", "guest")),
        (PROFILE, properties("matrix", "$defs", "profile")),
    ],
    ids=["project", "check", "expect", "ready", "guest", "profile"],
)
def test_every_key_of_the_schema_has_its_example_here(examples, keys):
    assert set(examples) == set(keys)


@pytest.mark.parametrize("key", [key for key in PROJECT if key not in ("checks", "matrix")])
def test_a_key_at_the_top_changes_what_is_run(tmp_path, key):
    lines = [] if key == "command" else ["command: x"] if key not in OF_OBJECTS else []
    lines += [NEEDS[key]] if key in NEEDS else []
    base = "\n".join([*(lines or ["command: x"]), KERNELS])
    assert loaded(tmp_path, "\n".join([*lines, PROJECT[key], KERNELS])) != loaded(tmp_path, base)


@pytest.mark.parametrize("key", CHECK_ALONE)
def test_a_key_of_a_check_changes_what_is_run(tmp_path, key):
    said = [] if key in ("command", *OF_OBJECTS) else ["command: x"]
    said += [NEEDS[key]] if key in NEEDS else []
    base = ", ".join(["name: a", *(said or ["command: x"])])
    with_key = ", ".join(["name: a", *said, CHECK_ALONE[key]])
    assert loaded(tmp_path, f"checks: [{{{with_key}}}]\n{KERNELS}") != loaded(
        tmp_path, f"checks: [{{{base}}}]\n{KERNELS}"
    )


@pytest.mark.parametrize("key", [key for key in PROJECT if key not in ("checks", "matrix")])
def test_a_key_beside_checks_changes_every_check_or_is_refused(tmp_path, key):
    needed = f"{NEEDS[key]}\n" if key in ("bundle_libs", "while_ready", "collect_limit") else ""
    base = f"{needed}checks: [{{name: a, command: x}}, {{name: b, command: y}}]\n{KERNELS}"
    before = loaded(tmp_path, base)
    if key in ("command", *OF_OBJECTS):
        with pytest.raises(BpfcompatError, match=r"exclude each other|cannot be said for all checks"):
            loaded(tmp_path, f"{PROJECT[key]}\n{base}")
        return
    after = loaded(tmp_path, f"{PROJECT[key]}\n{base}")
    if key in CHECK:
        assert all(one != other for one, other in zip(before.checks, after.checks, strict=True))
    assert after != before


@pytest.mark.parametrize("name", EXPECT)
def test_every_expectation_changes_what_is_run(tmp_path, name):
    assert loaded(tmp_path, f"command: x\nexpect: {{{name}: {EXPECT[name]}}}\n{KERNELS}") != loaded(
        tmp_path, f"command: x\n{KERNELS}"
    )


@pytest.mark.parametrize("name", READY)
def test_every_part_of_ready_changes_what_is_run(tmp_path, name):
    sign = {} if name in ("stdout", "stderr", "file", "notify") else {"stdout": "y"}
    assert loaded(tmp_path, f"command: x\nready: {json.dumps({**sign, name: READY[name]})}\n{KERNELS}") != loaded(
        tmp_path, f"command: x\nready: {{stdout: y}}\n{KERNELS}"
    )


@pytest.mark.parametrize("name", GUEST)
def test_every_part_of_the_guest_changes_what_is_run(tmp_path, name):
    assert loaded(tmp_path, f"command: x\nguest: {json.dumps({name: GUEST[name]})}\n{KERNELS}") != loaded(
        tmp_path, f"command: x\n{KERNELS}"
    )


@pytest.mark.parametrize("name", PROFILE)
def test_every_key_of_a_profile_changes_what_is_run(tmp_path, name):
    kernels = {"headers": "apt:x/linux-y", "sha256": "rpm:k", "key": "rpm:k"}
    row = {"id": "a", "kernel": kernels.get(name, "path:k")}
    assert loaded(tmp_path, f"command: x\nmatrix: {json.dumps([{**row, name: PROFILE[name]}])}\n") != loaded(
        tmp_path, f"command: x\nmatrix: {json.dumps([row])}\n"
    )


def test_the_name_of_a_matrix_is_used(tmp_path):
    (tmp_path / "m.yaml").write_text("name: mine\nprofiles: [{id: a, kernel: path:k}]\n")
    assert matrix.load("m.yaml", tmp_path).name == "mine"


@pytest.fixture(scope="module")
def read():
    """The names of all attributes that the package reads outside of where they are declared and read in."""
    return {
        node.attr
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("config.py", "matrix.py", "model.py", "outcome.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


@pytest.mark.parametrize(
    "kind",
    [
        model.Project, model.Check, model.Profile, model.Matrix, model.Expectation, validation.Validation,
        validation.FunctionalTest, validation.MapFixup, validation.ProgramChoice, validation.Variant,
    ],
)  # fmt: skip
def test_every_field_is_read_by_what_runs(kind, read):
    """A field that only the project's own room touches is read in and goes nowhere."""
    assert {field.name for field in dataclasses.fields(kind)} <= read


# ---- what a check says itself wins ----


def checks(folder, text):
    return {check.name: check for check in loaded(folder, text + KERNELS).checks}


def test_what_a_check_says_itself_wins(tmp_path):
    found = checks(
        tmp_path,
        """
expect: {exit: 3, stdout: never}
env: {A: 1.10, B: b}
timeout: 5s
files: [data]
binary: loader
checks:
  - {name: as-said-for-all, command: x}
  - {name: own, command: x, expect: {exit: 0}, env: {B: own, C: c}, timeout: 7s, files: [], binary: other}
""",
    )
    first, second = found["as-said-for-all"], found["own"]
    assert (first.expect.exit, first.expect.stdout, first.timeout) == (3, "never", 5.0)
    assert (first.env, first.files, first.binary) == (
        (("A", "1.10"), ("B", "b")),
        (tmp_path / "data",),
        tmp_path / "loader",
    )
    assert (second.expect.exit, second.expect.stdout, second.timeout) == (0, "never", 7.0)
    assert (second.env, second.files) == ((("A", "1.10"), ("B", "own"), ("C", "c")), ())
    assert second.binary == tmp_path / "other"


def test_objects_take_what_is_for_all_but_not_what_belongs_to_a_command(tmp_path):
    found = checks(
        tmp_path,
        "artifact: x.bpf.o\nexpect: {exit: 3}\ntimeout: 5s\nchecks: [{name: object}, {name: loader, command: x}]\n",
    )
    assert (found["object"].artifact, found["object"].expect.exit, found["object"].timeout) == (
        tmp_path / "x.bpf.o",
        0,
        5.0,
    )
    assert found["object"].validation
    assert (found["loader"].artifact, found["loader"].expect.exit) == (tmp_path / "x.bpf.o", 3)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("expect: {exit: 3}\nchecks: [{name: a, artifact: x.bpf.o}]\n", 1, "no check has one"),
        ("timeout: 5s\nmanifest: m.yaml\nchecks: [{name: a, artifact: x.bpf.o}]\n", 2, "cannot be said for all checks"),
        ("expect:\n  stdout: '('\nchecks: [{name: a, command: x}]\n", 2, "not a regular expression"),
        ("command: x\nbundle_libs: true\n", 2, "there is none"),
        ("command: x\nenv:\n  BPFCOMPAT_BIN: y\n", 3, "is set by bpfcompat itself"),
        ("env:\n  BPFCOMPAT_BIN: y\nchecks: [{name: a, command: x}]\n", 2, "is set by bpfcompat itself"),
    ],
)
def test_what_could_not_be_used_is_refused_with_its_line(tmp_path, text, line, words):
    with pytest.raises(BpfcompatError, match=words) as error:
        loaded(tmp_path, text + KERNELS)
    assert f"bpfcompat.yaml:{line}:" in error.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("programs: [{name: p, attach: {symbol: f}}]", "`symbol` has no meaning for the kind auto"),
        ("programs: [{name: p, attach: {kind: kprobe, symbol: f, category: c}}]", "`category` has no meaning for the kind kprobe"),
        ("maps: [{name: m, inner_ringbuf_bytes: 4096, inner: {type: array, max_entries: 1}}]", "exclude each other"),
        ("program_variants: [{group: g, programs: [{name: p, probe: trial_load, requires_helper: bpf_loop}]}]", "exclude each other"),
    ],
)  # fmt: skip
def test_what_a_manifest_says_in_vain_is_refused(tmp_path, text, words):
    (tmp_path / "n.yaml").write_text(text)
    with pytest.raises(BpfcompatError, match=words):
        loaded(tmp_path, f"artifact: x.bpf.o\nmanifest: n.yaml\n{KERNELS}")
