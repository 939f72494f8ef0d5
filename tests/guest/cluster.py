"""A cluster on loopback: a real scheduler and workers, each a process with a cache and a work folder of its own."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.parts import KIT

DASK = [sys.executable, "-m", "dask"]


def wait_until(condition: Callable[[], Any], seconds: float = 200.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
    return found


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@dataclass
class Cluster:
    folder: Path
    host: str = "127.0.0.1"
    protocol: str = "tcp"
    words: tuple[str, ...] = ()
    """Of dask's commands, for TLS."""
    prefix: tuple[str, ...] = ()
    """Before the workers' commands."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    used: Path | None = None
    """A cache of a machine that has run something before: workers begin with it."""

    @property
    def address(self) -> str:
        return f"{self.protocol}://{self.host}:{self.port}"

    def _start(self, name: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        with (self.folder / name / "log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *words, *self.words], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True, cwd=self.folder / name, env={**os.environ, **environment},
            )  # fmt: skip
        return self.processes[name]

    def scheduler(self) -> None:
        self._start(
            "scheduler",
            *DASK,
            "scheduler",
            "--host",
            self.address.rpartition(":")[0],
            "--port",
            str(self.port),
            "--no-dashboard",
            "--no-show",
        )
        wait_until(lambda: b"Scheduler at" in (self.folder / "scheduler" / "log").read_bytes())

    def worker(
        self, name: str, *words: str, kit: bool = True, threads: int = 1, **environment: str
    ) -> subprocess.Popen[bytes]:
        cache = self.folder / name / "cache"
        if self.used and not cache.exists():
            cache.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-al", self.used, cache], check=True)
        cache.mkdir(parents=True, exist_ok=True)
        if kit and not (cache / "kit").exists():
            (cache / "kit").symlink_to(KIT.folder.parent)
        found = self._start(
            name, *self.prefix, *DASK, "worker", self.address, "--name", name, "--nthreads", str(threads), "--no-dashboard",
            "--local-directory", str(self.folder / name / "work"), "--memory-limit", "4GiB", *words,
            BPFCOMPAT_CACHE=str(cache), **environment,
        )  # fmt: skip
        wait_until(lambda: b"Registered to" in (self.folder / name / "log").read_bytes())
        return found

    def cache(self, name: str) -> Path:
        return self.folder / name / "cache"

    def boot_images(self, name: str) -> list[Path]:
        return [path for path in (self.cache(name) / "bootimages").glob("*") if (path / "image.json").exists()]

    def guests(self) -> list[int]:
        """The process ids of the machines that the workers run."""
        return machines_below(self.folder)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Kill a worker with its nanny, or the scheduler; a milder signal goes to the nanny alone, as an init's does."""
        child = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number) if number == signal.SIGKILL else child.send_signal(number)
        child.wait()

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)


def machines_below(folder: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"qemu-system" in line and os.fsencode(folder) in line:
            found.append(int(process.name))
    return found


def report(folder: Path) -> Any:
    return json.loads((folder / ".bpfcompat" / "report.json").read_text())


class SlowLine:
    """A TCP relay with a delay and a bandwidth, between a worker and its scheduler: not every kernel has netem."""

    def __init__(self, port: int, delay: float = 0.05, bytes_a_second: int = 2 << 20) -> None:
        self._to, self._delay, self._rate = port, delay, bytes_a_second
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                self._sockets.append(near)
                far = socket.create_connection(("127.0.0.1", self._to))
                self._sockets.append(far)
                for one, other in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._pass_on, args=(one, other)))
                    self._threads[-1].start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                time.sleep(self._delay + len(data) / self._rate)
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for one in (self._listening, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (self._listening, *self._sockets):
            one.close()
