"""What a project file may say, and what a user reads when it says something else."""

import pytest

from bpfcompat.errors import BpfcompatError
from bpfcompat.project.config import load_project

ROW = "matrix: [{id: a, kernel: 'path:vmlinuz'}]\n"


def write(folder, text):
    (folder / "bpfcompat.yaml").write_text(text)
    return folder


def refused(folder, text):
    with pytest.raises(BpfcompatError) as caught:
        load_project(write(folder, text))
    return caught.value


def test_the_flat_form(tmp_path):
    project = load_project(
        write(
            tmp_path,
            "command: $BPFCOMPAT_BIN --self-test\nbinary: build/loader\nfiles: [config.toml]\nenv: {MODE: yes, N: 1.10, ON: true}\n"
            "expect: {exit: 3, stdout: attached}\ntimeout: 1.5m\n" + ROW,
        )
    )
    check = project.checks[0]
    assert check.command == "$BPFCOMPAT_BIN --self-test"
    assert check.binary == tmp_path / "build/loader"
    assert check.files == (tmp_path / "config.toml",)
    assert check.env == (("MODE", "yes"), ("N", "1.10"), ("ON", "true"))
    assert (check.expect.exit, check.expect.stdout, check.timeout) == (3, "attached", 90.0)
    assert project.workdir == tmp_path / ".bpfcompat"
    (tmp_path / "bpfcompat.yaml").rename(tmp_path / "other.yaml")
    assert load_project(tmp_path / "other.yaml").workdir == tmp_path / ".bpfcompat" / "other.yaml"


def test_checks_and_a_shipped_matrix(tmp_path):
    project = load_project(write(tmp_path, "checks: [{name: a, command: x}, {name: b, command: y}]\nmatrix: mvp\n"))
    assert [check.name for check in project.checks] == ["a", "b"]
    assert len(project.matrix.profiles) == 5
    assert project.matrix.name == "mvp"


def test_rows_of_a_matrix(tmp_path):
    row = "{id: a, kernel: 'path:b/z', modules: m, required: false, timeout: 30s, memory: 1G, cpus: 2, cmdline: 'lsm=bpf'}"
    text = f"command: x\nmatrix:\n  - {row}\n"
    profile = load_project(write(tmp_path, text)).matrix.profiles[0]
    assert (profile.required, profile.timeout, profile.memory, profile.cpus, profile.cmdline) == (
        False,
        30.0,
        1024,
        2,
        "lsm=bpf",
    )


def test_a_row_of_the_published_tool_takes_its_kernel_from_the_catalogue(tmp_path):
    text = "command: x\nmatrix: [{id: debian-12-6.1, required: false, timeout: 8m}]\n"
    assert load_project(write(tmp_path, text)).matrix.profiles[0].kernel == "apt:bookworm/linux-image-cloud-amd64"


@pytest.mark.parametrize(
    ("text", "line", "words", "hint"),
    [
        ("comand: x\n" + ROW, 1, "unknown key 'comand'", "did you mean 'command'?"),
        ("command: x\nmatrix: [{id: a, kernal: 'path:x'}]\n", 2, "unknown key 'kernal'", "did you mean 'kernel'?"),
        ("command: x\nexpect: 300\n" + ROW, 2, "expect must be a mapping", ""),
        ("command: x\nexpect:\n  exit: 300\n" + ROW, 3, "expect.exit is 300; it must be 0 to 255", ""),
        ("command: x\nexpect: {exti: 3}\n" + ROW, 2, "unknown key 'exti'", "did you mean 'exit'?"),
        ("command: x\nready: {}\n" + ROW, 2, "`ready` has no sign", "name one of stdout"),
        ("command: x\nready: {stdout: a, file: b}\n" + ROW, 2, "`ready` has more than one sign", "name one of stdout"),
        ("command: x\nready: {notify: false}\n" + ROW, 2, "ready.notify", ""),
        ("command: x\nready: {stderr: '('}\n" + ROW, 2, "ready.stderr is not a regular expression", ""),
        ("command: x\nready: {stdout: a}\nexpect: {exit: 1}\n" + ROW, 3, "is said there", "write `exit` in `ready`"),
        ("command: x\nresults: {format: go, path: 'out/*'}\n" + ROW, 2, "is a pattern", "name the file"),
        ("command: x\nresults: {format: go, path: ../out}\n" + ROW, 2, "names nothing below", "relative to it"),
        ("command: x\nresults: {format: nose}\n" + ROW, 2, "results.format", ""),
        ("artifact: x.o\nresults: {format: go}\n" + ROW, 2, "`results` belongs to a command", "add `command:`"),
        ("command: x\nwhile_ready: y\n" + ROW, 2, "nothing says when", "add a line `ready:"),
        ("command: x\nexpect: {stdout: '('}\n" + ROW, 2, "is not a regular expression", ""),
        ("command: '  '\n" + ROW, 1, "command cannot be", ""),
        (ROW, 1, "neither a command to run nor an artifact", "command:"),
        ("checks: [{name: a}]\n" + ROW, 1, "neither a command to run nor an artifact", "command:"),
        (
            "command: x\nartifact: a.o\nmanifest: m.yaml\n" + ROW,
            3,
            "`manifest` is for an artifact without",
            "remove it",
        ),
        ("command: x\nvalidation_mode: load_only\n" + ROW, 2, "`validation_mode` is for an artifact", "remove it"),
        ("artifact: a.o\nexpect: {exit: 1}\n" + ROW, 2, "`expect` belongs to a command", "command:"),
        ("artifact: a.o\nbinary: b\n" + ROW, 2, "`binary` belongs to a command", "command:"),
        ("artifact: a.o\nvalidation_mode: all\n" + ROW, 2, "validation_mode cannot be", ""),
        ("command: x\nchecks: [{name: a, command: y}]\n" + ROW, 1, "exclude each other", ""),
        ("command: true\n" + ROW, 1, "command must be a text, not true", "put it in quotes"),
        ("command: x\n", 1, "has no 'matrix'", "matrix:"),
        ("- a\n- b\n", 1, "must be a mapping", ""),
        ("just words\n", 1, "must be a mapping", ""),
        ("", 1, "must be a mapping", ""),
        ("command: [\n", 2, "this is not YAML", ""),
        ("command: x\ncommand: y\n" + ROW, 2, "'command' stands here a second time", ""),
        (
            "command: x\nmatrix:\n- {id: a, kernel: 'path:x'}\n- {id: a, kernel: 'path:y'}\n",
            4,
            "the id 'a' is taken",
            "",
        ),
        ("command: x\nmatrix: [{id: 'a b', kernel: 'path:x'}]\n", 2, 'cannot be "a b"', "unique name"),
        ("command: x\nmatrix: [{id: a, kernel: 'ftp:x'}]\n", 2, "does not name a kernel", "apt:"),
        ("command: x\nmatrix: [{id: nobody-knows}]\n", 2, "names no kernel", "kernel:"),
        ("command: x\nmatrix: []\n", 2, "matrix cannot be", ""),
        ("command: x\nmatrix: [{id: a, kernel: 'path:x', memory: 1M}]\n", 2, "at least 128M", ""),
        ("command: x\nmatrix: [{id: a, kernel: 'apt:x/linux-y', modules: z}]\n", 2, "belongs to a kernel of path:", ""),
        (
            "command: x\nmatrix: [{id: a, kernel: 'path:x', headers: true}]\n",
            2,
            "belongs to a kernel of apt:",
            "guest.rootfs",
        ),
        ("command: x\ntimeout: soon\n" + ROW, 2, "timeout cannot be", "Seconds"),
        ("checks: [{name: a, command: x}, {name: a, command: y}]\n" + ROW, 1, "second check is named 'a'", ""),
    ],
)
def test_mistakes_name_the_line_and_the_way_out(tmp_path, text, line, words, hint):
    error = refused(tmp_path, text)
    assert words in error.message
    assert hint in error.hint
    assert f"bpfcompat.yaml:{line}:" in error.message, error.message
    assert "\n" not in error.message


def test_an_unknown_matrix_names_the_shipped_ones(tmp_path):
    error = refused(tmp_path, "command: x\nmatrix: mvpp\n")
    assert "there is no matrix 'mvpp'" in error.message
    assert error.hint == "did you mean 'mvp'?"


def test_no_project_file(tmp_path):
    with pytest.raises(BpfcompatError, match=r"there is no bpfcompat\.yaml") as caught:
        load_project(tmp_path)
    assert "bpfcompat init" in caught.value.hint


def test_a_command_longer_than_an_operand_may_be(tmp_path):
    error = refused(tmp_path, f"command: '{'x' * 131072}'\n" + ROW)
    assert "131,072 bytes" in error.message
    assert "files:" in error.hint


def test_a_bomb_of_aliases_is_refused_in_bounded_memory(tmp_path):
    import resource

    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = refused(tmp_path, "\n".join(levels))
    assert "expands to more than" in error.message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_bomb_of_merge_keys_is_refused(tmp_path):
    levels = ["a0: &a0 {k: v, l: w}"]
    levels += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 10)]
    assert "expands to more than" in refused(tmp_path, "\n".join(levels)).message


def test_an_alias_of_its_own_container(tmp_path):
    assert "an alias refers to the value that it stands in" in refused(tmp_path, "a: &a [*a]\n").message


def test_a_huge_file_is_refused_without_reading_it(tmp_path):
    with (tmp_path / "bpfcompat.yaml").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(BpfcompatError, match="larger than"):
        load_project(tmp_path)


def test_deep_nesting(tmp_path):
    assert "nest" in refused(tmp_path, "[" * 5000 + "]" * 5000).message


def test_ten_thousand_profiles_are_read(tmp_path):
    rows = "".join(f"  - {{id: k{n}, kernel: 'path:vmlinuz'}}\n" for n in range(10_000))
    assert len(load_project(write(tmp_path, "command: x\nmatrix:\n" + rows)).matrix.profiles) == 10_000


def test_what_was_found_valid_is_not_checked_again_until_it_changes(tmp_path, monkeypatch):
    from bpfcompat.project import schema

    checked, real = [], schema._check
    monkeypatch.setattr(schema, "_check", lambda document, name: (checked.append(name), real(document, name)))
    file = tmp_path / "bpfcompat.yaml"
    file.write_text(f"command: 'true'\n{ROW}")
    load_project(file)
    load_project(file)
    assert checked == ["project"]
    file.write_text(f"comand: 'true'\n{ROW}")
    for _ in range(2):
        with pytest.raises(BpfcompatError, match="comand"):
            load_project(file)
    assert checked == ["project"] * 3


def test_tools_are_the_project_s_or_this_machine_s(tmp_path):
    write = (tmp_path / "bpfcompat.yaml").write_text
    write("checks: [{name: a, command: x}, {name: b, command: y}]\nguest: {tools: [sh, build/helper]}\n" + ROW)
    for check in load_project(tmp_path).checks:
        assert check.tools[0].name == "sh"
        assert check.tools[0].is_absolute()
        assert check.tools[1] == tmp_path / "build" / "helper"
    assert (
        "the program not-there is not installed"
        in refused(tmp_path, "command: x\nguest: {tools: [not-there]}\n" + ROW).message
    )
