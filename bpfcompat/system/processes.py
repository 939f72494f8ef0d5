"""Children: started in a session of their own, registered, and dead when we are."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from bpfcompat.errors import BpfcompatError

INTERRUPTED_STATUS = 130
"""How a program ends that was interrupted: 128 and SIGINT's number, as shells have it."""
_STOP_SECONDS = 2.0
_CAP_SETPCAP = 8
_running: dict[subprocess.Popen[bytes], str] = {}
"""Each child with the group that it is of."""
_groups: dict[str, bool] = {}
"""Groups at work, and whether they are to end."""
_here = threading.local()
_stoppers: list[Callable[[], None]] = []
_signals: list[int] = []
"""Those that have asked this process to end. No threading.Event, which has a lock: a signal that comes while the handler of another
one sets it would wait for itself."""
_lock = threading.Lock()


def start(
    argv: Sequence[str],
    *,
    pass_fds: Sequence[int] = (),
    stdout: int | IO[bytes] | None = subprocess.DEVNULL,
    stderr: int | IO[bytes] | None = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    confined: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program that dies with the calling *thread* (parent-death signals are per thread) and is registered.

    confined: it gets no privileges that it does not need to read files, and can get none.
    Raises BpfcompatError if the program cannot be started.
    """
    # A parent-death signal set by a helper program, not by preexec_fn: that would run Python between fork and exec
    # in a process with threads. If we die between its fork and its prctl nobody would tell it, so it looks who its parent is.
    if interrupted():
        raise BpfcompatError("interrupted.")
    guard = _guard(confined)
    if guard:
        guard = [*guard, "sh", "-c", 'test "$PPID" = "$0" && exec "$@"', str(os.getpid())]
    try:
        child = subprocess.Popen(
            [*guard, *argv], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
            pass_fds=pass_fds, start_new_session=True, env=env, cwd=cwd,
        )  # fmt: skip
    except OSError as error:
        raise BpfcompatError(f"{argv[0]} cannot be started: {error.strerror}.") from error
    with _lock:
        _running[child] = getattr(_here, "group", "")
    if interrupted():  # while it was being started: whoever ends the children has not seen this one
        stop(child, at_once=True)
        raise BpfcompatError("interrupted.")
    return child


@functools.cache
def _guard(confined: bool) -> list[str]:
    """Return the words before a command that see to its end with ours, and take its privileges."""
    setpriv = shutil.which("setpriv")
    if not setpriv:
        return []
    dies = [setpriv, "--pdeathsig", "KILL"]
    if not confined:
        return [*dies, "--"]
    # What stays for root is to read files wherever they are, as a project in somebody's home. Where not even giving up
    # is allowed, as in some containers, QEMU is at least kept from getting more.
    fewer = [*dies, "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+dac_read_search", "--"]
    # To try what is allowed takes 5 ms, which `exec` would wait for before QEMU starts.
    allowed = os.geteuid() == 0 and (_is_unconfined_root() or run([*fewer, "true"]).returncode == 0)
    return fewer if allowed else [*dies, "--no-new-privs", "--"]


def _is_unconfined_root() -> bool:
    """Tell whether we may take capabilities from our children (CAP_SETPCAP, capabilities(7)) and are in no sandbox that could refuse it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        if not int(status["CapEff"], 16) >> _CAP_SETPCAP & 1 or status.get("Seccomp", "0") != "0":
            return False
    except (OSError, ValueError, KeyError):
        return False
    try:
        return Path("/proc/self/attr/current").read_text().startswith("unconfined")
    except OSError:  # no security module has profiles here
        return True


def stop(child: subprocess.Popen[bytes], *, at_once: bool = False) -> int:
    """End a child and reap it: SIGTERM, two seconds, SIGKILL; or SIGKILL at once. Return its return code."""
    if child.poll() is None:
        _signal(child, signal.SIGKILL if at_once else signal.SIGTERM)
        if not at_once and not ended(child, _STOP_SECONDS):
            _signal(child, signal.SIGKILL)
    code = child.wait()
    with _lock:
        _running.pop(child, None)
    return code


def ended(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a child's end for so long at most, and return whether it has come.

    A thread waits, because subprocess itself would look again and again, with pauses that grow to 50 ms.
    """
    waiter = threading.Thread(target=child.wait, name="bpfcompat-wait", daemon=True)
    waiter.start()
    waiter.join(seconds)
    return child.poll() is not None


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def stop_all() -> None:
    """End every registered child, all at the same time, and whatever goes on elsewhere."""
    with _lock:
        children, stoppers = list(_running), list(_stoppers)
    for stopper in stoppers:
        stopper()
    for child in children:
        _signal(child, signal.SIGTERM)
    for child in children:
        stop(child)


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdout: int | IO[bytes] = subprocess.PIPE,
    confined: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end and return its result with stderr, and stdout unless that goes elsewhere.

    confined: it gets no privileges that it does not need to read files, and can get none.
    Raises BpfcompatError if it cannot start.
    """
    child = start(argv, stdout=stdout, stderr=subprocess.PIPE, env=env, cwd=cwd, confined=confined)
    try:
        said, stderr = child.communicate()
    finally:
        stop(child)
    return subprocess.CompletedProcess(argv, child.returncode, said or b"", stderr)


def check(argv: Sequence[str], *, doing: str, hint: str = "", **options: Any) -> bytes:
    """Run a program that must succeed and return its stdout.

    doing: what it is for, as in "compiling the guest's init".
    Raises BpfcompatError with the command, ready to paste, and the last line that it printed.
    """
    result = run(argv, **options)
    if result.returncode:
        import shlex

        said = (result.stderr or result.stdout).decode(errors="replace").strip()
        raise BpfcompatError(
            f"{doing} failed: {said or f'exit {result.returncode}'}", hint or f"the command was: {shlex.join(argv)}"
        )
    return result.stdout


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt, and see that no child outlives the block.

    A first signal that comes while the block ends counts as one that comes after it.
    """

    raised = False
    late: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        nonlocal raised
        _signals.append(number)  # before anything is ended, so that no worker takes our own doing for the guest's
        if not raised:  # a second signal must not interrupt what the first has started: children end within 2 s anyway
            raised = True
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    # A signal that comes in the moment before the main thread waits for its workers would be noticed only when one of
    # them is done (CPython runs handlers between instructions), so a thread of its own sees it too, and ends the
    # children: then the workers are done.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_end_on_signal, args=(reader, numbers), name="bpfcompat-signals", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, lambda number, _: late.append(number))
        signal.set_wakeup_fd(wakeup)
        writer.close()
        watcher.join()
        reader.close()
        stop_all()
        _signals.clear()
        for number, handler in before.items():
            signal.signal(number, handler)
        if late and not raised:
            signal.raise_signal(late[0])


def _end_on_signal(reader: socket.socket, numbers: Sequence[int]) -> None:
    """Read the numbers of all signals that have a handler, until one of those that end us comes, or nothing more."""
    while number := reader.recv(1):
        if number[0] in numbers:
            _signals.append(number[0])
            stop_all()
            return


def exit_code(wait_status: int) -> int:
    """Return how a process ended as a shell shows it: 128 + N for signal N."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def interrupted() -> bool:
    """Tell whether this process, or the group that this thread works for, has been asked to end."""
    return bool(_signals) or _groups.get(getattr(_here, "group", ""), False)


@contextlib.contextmanager
def group(name: str) -> Iterator[None]:
    """Have the children that this thread starts in the block be of a group, which can be ended without the others."""
    with _lock:
        _groups[name] = False
    _here.group = name
    try:
        yield
    finally:
        _here.group = ""
        with _lock:
            del _groups[name]


def stop_group(name: str) -> None:
    """Kill the children of a group, and let it start no more; does not wait. A group that has ended is none."""
    with _lock:
        if name not in _groups:
            return
        _groups[name] = True
        children = [child for child, of in _running.items() if of == name]
    for child in children:
        _signal(child, signal.SIGKILL)


def stop_groups() -> None:
    """Kill the children of every group."""
    for name in list(_groups):
        stop_group(name)


@contextlib.contextmanager
def stopped_by(stopper: Callable[[], None]) -> Iterator[None]:
    """Have `stop_all` call something, too, while the block runs: what ends work that is no child of ours."""
    with _lock:
        _stoppers.append(stopper)
    try:
        yield
    finally:
        with _lock:
            _stoppers.remove(stopper)
