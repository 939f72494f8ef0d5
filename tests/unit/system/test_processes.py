"""Children that die with us."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bpfcompat.errors import BpfcompatError
from bpfcompat.system import processes


def test_a_child_dies_with_its_parent(tmp_path):
    """kill -9 of the tool leaves no child."""
    code = (
        "from bpfcompat.system import processes; import sys, time\n"
        "child = processes.start(['sleep', '1000']); print(child.pid, flush=True); time.sleep(1000)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    while Path(f"/proc/{pid}/comm").read_text().strip() != "sleep":
        pass  # setpriv has not yet become sleep; before that it has not yet asked to die with its parent
    watch = os.pidfd_open(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    import select

    poll = select.poll()
    poll.register(watch, select.POLLIN)
    assert poll.poll(10_000), "the child outlived its parent"
    os.close(watch)


def test_a_missing_program_is_a_sentence():
    with pytest.raises(BpfcompatError):
        processes.check(["/no/such/program"], doing="testing")


@pytest.fixture
def listening():
    """As Python has it, also where the tests run in the background and SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_while_the_block_ends_is_not_lost(listening, monkeypatch):
    monkeypatch.setattr(processes, "stop_all", lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt), processes.interruptible():
        pass


def test_a_signal_that_interrupts_the_handler_of_another_one_does_not_wait_for_it():
    """Seen as a hang of doit: SIGINT came while the handler of SIGTERM set a threading.Event."""
    code = """
import signal, sys
from bpfcompat.system import processes

def within_the_handler(frame):
    return frame is not None and (frame.f_code.co_name == "interrupt" or within_the_handler(frame.f_back))

def profile(frame, event, argument):
    global left
    if within_the_handler(frame) and (event, frame.f_code.co_name) != ("call", "interrupt"):
        left -= 1
        if left == 0:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

ended = 0
for number in range(1, 20):  # at each step of the handler
    left = number
    try:
        with processes.interruptible():
            sys.setprofile(profile)
            signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        ended += 1
    sys.setprofile(None)
sys.exit(ended)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=20, check=False).returncode == 19


def test_a_second_signal_while_the_first_ends_the_block_changes_nothing(monkeypatch):
    monkeypatch.setattr(processes, "stop_all", lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt), processes.interruptible():
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    "taken", [(), ("setpriv", "--bounding-set=-setpcap", "--inh-caps=-setpcap")], ids=["all", "no setpcap"]
)
def test_confined_children_lose_what_this_process_may_take_from_them(taken):
    """In some containers root may not; a child is then at least kept from getting more."""
    if taken and os.geteuid() != 0:
        pytest.skip("only root has capabilities to lose")
    code = (
        "from bpfcompat.system import processes; import sys\n"
        "sys.stdout.buffer.write(processes.check(['cat', '/proc/self/status'], doing='x', confined=True))\n"
    )
    said = subprocess.run([*taken, sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    status = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
    assert status["NoNewPrivs"] == "1"
    dac_read_search = 1 << 2
    if os.geteuid() == 0:
        assert (int(status["CapBnd"], 16) == dac_read_search) == (not taken)
