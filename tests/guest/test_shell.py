"""`bpfcompat shell` at a real terminal (tmux), and a real gdb that stops a kernel before its first instruction."""

import os
import re
import shutil
import subprocess
import sys
import time

import pytest

PROJECT = """\
checks:
  - {name: one, command: 'true', files: [data], env: {COLOUR: red}}
  - {name: two, command: 'true', env: {COLOUR: blue}}
matrix: [{id: common, kernel: 'apt:bookworm/linux-image-cloud-amd64'}]
"""
SECONDS = 300
"""A limit against a test that hangs; no result depends on it."""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bpfcompat.yaml").write_text(PROJECT)
    (tmp_path / "data").write_text("the file\n")
    return tmp_path


class Tmux:
    """A terminal that a test types at and looks at."""

    def __init__(self, folder, *words):
        self._line = ["tmux", "-f", os.devnull, "-S", str(folder / "tmux")]
        command = f"{sys.executable} -m bpfcompat shell {' '.join(words)}; echo ended with $?; sleep 1000"
        self._tell("new-session", "-d", "-x", "90", "-y", "30", "-c", str(folder), command)

    def _tell(self, *words):
        return subprocess.run([*self._line, *words], check=True, capture_output=True, text=True).stdout

    def type(self, *keys):
        self._tell("send-keys", *keys)

    def resize(self, columns, rows):
        self._tell("resize-window", "-x", str(columns), "-y", str(rows))

    def wait(self, pattern):
        """Wait until the screen shows a pattern, and return the match."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            screen = self._tell("capture-pane", "-p")
            if found := re.search(pattern, screen, re.MULTILINE):
                return found
            time.sleep(0.1)
        raise AssertionError(f"no {pattern!r} in:\n{screen}")

    def end(self):
        subprocess.run([*self._line, "kill-server"], check=False)


@pytest.fixture
def terminal(folder):
    opened = []

    def start(*words):
        opened.append(Tmux(folder, *words))
        return opened[-1]

    yield start
    for one in opened:
        one.end()


def test_a_shell_on_a_terminal_with_everything_that_the_check_has(terminal):
    shell = terminal("common")
    shell.wait(r"^common:\S*[$#]$")
    shell.type("pwd; cat data; echo $COLOUR:$TERM; stty size", "Enter")
    shell.wait(r"^/bpfcompat/work\nthe file\nred:(tmux|screen)\S*\n30 90$")
    shell.resize(100, 40)
    shell.type("clear; stty size", "Enter")
    shell.wait(r"^40 100$")
    shell.type("sleep 1000; echo status $?", "Enter")
    shell.wait(r"status \$\?$")
    shell.type("C-c")
    shell.type("echo after", "Enter")
    shell.wait(r"^after$")
    shell.type("vi data", "Enter")
    shell.wait(r"^the file\n(~\n)+")
    shell.type(":q", "Enter")
    shell.type("clear; exit 7", "Enter")
    shell.wait(r"^ended with 7$")


def test_a_shell_for_another_check_and_a_way_out_of_a_guest_that_hangs(terminal):
    shell = terminal("common", "--check", "two")
    shell.wait(r"^common:\S*[$#]$")
    shell.type("echo $COLOUR", "Enter")
    shell.wait(r"^blue$")
    shell.type("trap '' INT; while :; do :; done", "Enter")
    shell.type("C-c")
    shell.type("C-]", "C-]", "C-]")
    shell.wait(r"^ended with 125$")


def test_mistakes_are_told_without_a_boot(folder):
    line = [sys.executable, "-m", "bpfcompat", "shell"]
    without = subprocess.run(
        [*line, "common"], cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert (without.returncode, "a shell needs a terminal" in without.stderr) == (125, True)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("gdb"), reason="there is no gdb here; ./dev test installs it")
def test_gdb_stops_at_a_function_by_its_name(terminal, folder):
    """The debug file is made of what the guest itself says of its symbols; a distribution's is half a gigabyte."""
    line = [sys.executable, "-m", "bpfcompat", "exec", "--profile", "common", "--cmdline", "nokaslr", "--"]
    symbols = subprocess.run(
        [*line, "grep", "-wE", "start_kernel|_stext", "/proc/kallsyms"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    places = {name: address for address, _, name in (row.split() for row in symbols.stdout.splitlines())}
    code = ".globl start_kernel\n.type start_kernel, @function\nstart_kernel: nop\n.size start_kernel, 1\n"
    (folder / "start.s").write_text(code)
    subprocess.run(["as", "-o", folder / "start.o", folder / "start.s"], check=True)
    place = f"-Ttext=0x{places['start_kernel']}"
    subprocess.run(["ld", place, "-e", "start_kernel", "-o", folder / "vmlinux", folder / "start.o"], check=True)
    shell = terminal("common", "--gdb")
    target = shell.wait(r"'?(target remote \S+?/gdb)'?")[1]
    stopped = subprocess.run(
        ["gdb", "-batch", "-nx", folder / "vmlinux", "-ex", target,
         "-ex", "hbreak *start_kernel", "-ex", "continue", "-ex", "info registers rip", "-ex", "delete", "-ex", "detach"],
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert f"0x{places['start_kernel']}" in stopped.stdout, stopped.stdout + stopped.stderr
    shell.wait(r"^common:\S*[$#]$")
    shell.type("exit", "Enter")
    shell.wait(r"^ended with 0$")
