"""What a user does, measured: one changed loader, many kernels, nothing changed, much output, an empty cache."""

from __future__ import annotations

import functools
import itertools
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from bench.measure import TOOL, Row, in_turns, right, run
from bpfcompat.model import Check, Matrix, Profile, Project
from bpfcompat.project import matrix
from bpfcompat.system import host
from bpfcompat.vm import bootimage, qemu
from bpfcompat.vm import machine as guests
from bpfcompat.vm.qmp import Monitor
from bpfcompat.workflow import programs
from bpfcompat.workflow.machines import Machines

LOADER = Path(__file__).parents[1] / "examples" / "ringbuf" / "build" / "loader"
ARM64_LOADER = LOADER.parent / "arm64" / LOADER.name
MVP = matrix.load("mvp", Path()).profiles
MVP_ARM64 = matrix.load("mvp-arm64", Path()).profiles
COLD_TARGETS = {"debian-11-5.10": 1.4, "debian-12-6.1": 1.6, "debian-13-backports": 2.2}
_counter = itertools.count()


def changed_loader(folder: Path, source: Path = LOADER) -> Path:
    """Write the example's loader with another digest; bytes after its end change nothing else."""
    loader = folder / "loader"
    loader.write_bytes(source.read_bytes() + b"%d" % next(_counter))
    loader.chmod(0o755)
    return loader


def write_project(
    folder: Path, profiles: tuple[Profile, ...], text: str = "command: $BPFCOMPAT_BIN --self-test\nbinary: loader\n"
) -> None:
    """Write a bpfcompat.yaml over some profiles."""
    rows = [{"id": p.id, "kernel": p.kernel, "memory": f"{p.memory}M"} for p in profiles]
    (folder / "bpfcompat.yaml").write_text(f"{text}matrix: {json.dumps(rows)}\n")


def tool(folder: Path, *flags: str, code: int = 0) -> float:
    """Run the project in a folder and return the seconds of the whole process."""
    return right(run([*TOOL, "run", *flags], folder), code).seconds


def told_seconds(folder: Path) -> float:
    """Return how long the command itself ran, by the last report."""
    report = json.loads((folder / ".bpfcompat" / "report.json").read_text())
    return float(report["targets"][0]["functional"]["tests"][0]["duration_ms"]) / 1000


def emulator_only(folder: Path) -> Callable[[], float]:
    """Return what starts QEMU and ends it, which no run can do without; nothing runs in it."""
    machine = machine_of(folder, MVP[1])
    disk = folder / "disk"
    disk.touch()
    ram = folder / "ram"
    with ram.open("wb") as file:
        file.truncate(machine.memory << 20)

    def start() -> float:
        started = time.perf_counter()
        with guests.start(machine, disk, folder, qemu.Memory(ram, saving=False)) as guest:  # it waits for a state
            assert isinstance(guest.monitor(10), Monitor)
        return time.perf_counter() - started

    return start


def qemu_alone(folder: Path, repeat: int) -> list[Row]:
    """QEMU's start and end."""
    return [Row("QEMU starts and ends, nothing else", in_turns({"": emulator_only(folder)}, repeat)[""])]


def one_program(folder: Path, repeat: int) -> list[Row]:
    """`bpfcompat exec` of a program that does nothing, less what that takes in the guest itself, by QEMU's start and end."""
    profile = Profile("one", MVP[1].kernel)
    project = Project((), Matrix((profile,)), folder)
    here = folder / "here"
    here.mkdir()  # what is in it comes along
    wanted = programs.Wanted(("true",), here, {"PATH": "/usr/bin"}, ())

    def program() -> float:
        return right(run([*TOOL, "exec", "--kernel", profile.kernel, "--", "true"], here)).seconds

    def itself() -> float:
        runner = programs.Programs(project, host.cache_folder(), print)
        outcome = runner.run(wanted, profile, dict.fromkeys(("stdout", "stderr"), lambda _: None))
        assert outcome.command_seconds is not None
        return outcome.command_seconds

    program()
    found = in_turns({"program": program, "itself": itself, "emulator": emulator_only(folder)}, repeat)
    ratios = tuple(
        (whole - own) / least
        for whole, own, least in zip(found["program"], found["itself"], found["emulator"], strict=True)
    )
    return [
        Row("`bpfcompat exec -- true`, whole process", found["program"]),
        Row("`true` itself, in its guest", found["itself"]),
        Row("the one less the other, by QEMU's start and end", ratios, "times", target=5),
    ]


def machine_of(folder: Path, profile: Profile) -> qemu.Machine:
    """Return a profile's machine; its parts are made by a first run."""
    project = Project((Check("true"),), Matrix((profile,)), folder, accelerator="auto")
    machines = Machines(project, host.cache_folder(), offline=False)
    machine = machines.machine(profile)
    if machine is None:
        write_project(folder, (profile,), "command: 'true'\n")
        tool(folder)
        machine = machines.machine(profile)
    assert machine
    return machine


def cold_boots(folder: Path, repeat: int) -> list[Row]:
    """From nothing to a guest that waits for its job."""

    def booting(profile: Profile) -> Callable[[], float]:
        machine = machine_of(folder, profile)
        disk = folder / "disk"
        disk.touch()

        def boot() -> float:
            started = time.perf_counter()
            with guests.boot(machine, disk, folder, time.monotonic() + 60):
                return time.perf_counter() - started

        return boot

    found = in_turns({profile.id: booting(profile) for profile in MVP}, min(repeat, 5))
    return [Row(f"cold boot to READY, {name}", values, target=COLD_TARGETS.get(name)) for name, values in found.items()]


def one_kernel(folder: Path, repeat: int) -> list[Row]:
    """A changed loader on one kernel: the whole process, warm and cold, and what of it is neither Python nor the command."""
    rows, rest = [], []
    for profile in MVP:
        project = folder / profile.id
        project.mkdir()
        write_project(project, (profile,))
        changed_loader(project)
        tool(project)
        commands: list[float] = []

        def warm(project: Path = project, commands: list[float] = commands) -> float:
            changed_loader(project)
            seconds = tool(project)
            commands.append(told_seconds(project))
            return seconds

        def cold(project: Path = project) -> float:
            changed_loader(project)
            return tool(project, "--cold")

        def nothing(project: Path = project) -> float:
            return tool(project)

        found = in_turns({"warm": warm, "nothing": nothing, "cold": cold, "nothing again": nothing}, min(repeat, 7))
        rows += [
            Row(f"changed loader, {profile.id}, warm, whole process", found["warm"]),
            Row(f"changed loader, {profile.id}, cold, whole process", found["cold"]),
        ]
        rest += [
            whole - command - start
            for whole, command, start in zip(found["warm"], commands, found["nothing"], strict=True)
        ]
    return [*rows, Row("changed loader, warm, without the command and Python's start", tuple(rest), target=0.20)]


def both_architectures(folder: Path, repeat: int) -> list[Row]:
    """A changed loader on the oldest and the newest kernel of either architecture, and how many times longer arm64 takes."""
    calls: dict[str, Callable[[], float]] = {}
    pairs = [(MVP[0], MVP_ARM64[0]), (MVP[-1], MVP_ARM64[-1])]
    for pair in pairs:
        for profile, source in zip(pair, (LOADER, ARM64_LOADER), strict=True):
            project = folder / profile.id
            project.mkdir()
            write_project(project, (profile,))
            changed_loader(project, source)
            tool(project)

            def run_one(*flags: str, project: Path = project, source: Path = source) -> float:
                changed_loader(project, source)
                return tool(project, *flags)

            calls[f"{profile.id}, warm"] = run_one
            calls[f"{profile.id}, cold"] = functools.partial(run_one, "--cold")
    found = in_turns(calls, min(repeat, 5))
    rows = [Row(f"changed loader, {name}, beside the other", values) for name, values in found.items()]
    for (own, other), way in itertools.product(pairs, ("warm", "cold")):
        ratios = [b / a for a, b in zip(found[f"{own.id}, {way}"], found[f"{other.id}, {way}"], strict=True)]
        rows.append(Row(f"arm64 against amd64, {own.id}, {way}", tuple(ratios), unit="times"))
    return rows


def ten_kernels(folder: Path, repeat: int) -> list[Row]:
    """A changed loader on ten machines: five kernels with two sizes of memory."""
    write_project(folder, ten())
    changed_loader(folder)
    tool(folder)

    def change() -> float:
        changed_loader(folder)
        return tool(folder)

    return [Row("changed loader, 10 machines", in_turns({"": change}, repeat)[""], target=1.6)]


def ten() -> tuple[Profile, ...]:
    """Return ten profiles."""
    return tuple(
        Profile(f"{profile.id}-{memory}", profile.kernel, memory=memory) for profile in MVP for memory in (512, 384)
    )


def twenty_checks() -> str:
    """Return twenty checks that differ, as a project file has them."""
    checks = [{"name": f"c{n}", "command": f"N={n} $BPFCOMPAT_BIN --self-test", "binary": "loader"} for n in range(20)]
    return f"checks: {json.dumps(checks)}\n"


def many_verdicts(folder: Path, repeat: int) -> list[Row]:
    """Twenty checks on ten machines."""
    write_project(folder, ten(), twenty_checks())

    def change() -> float:
        changed_loader(folder)
        return tool(folder)

    return [Row("200 verdicts (20 checks, 10 machines)", in_turns({"": change}, min(repeat, 2))[""], target=25)]


def nothing_to_do(folder: Path, repeat: int) -> list[Row]:
    """Every verdict is stored already."""
    measured = {}
    for count in (10, 1000):
        project = folder / str(count)
        project.mkdir()
        changed_loader(project)
        write_project(project, tuple(Profile(f"k{n}", MVP[n % len(MVP)].kernel) for n in range(count)))
        tool(project)
        measured[count] = lambda project=project: tool(project)
    found = in_turns({str(count): call for count, call in measured.items()}, repeat)
    targets = {"10": 0.25, "1000": 1.0}
    return [Row(f"nothing to do, {name} profiles", values, target=targets[name]) for name, values in found.items()]


def much_output(folder: Path, repeat: int) -> list[Row]:
    """100 MB on stdout: counted, bounded, and no burden to this side."""
    write_project(folder, MVP[1:2], "command: head -c 100000000 /dev/zero\n")
    tool(folder)
    ran = [right(run([*TOOL, "run", "--force"], folder)) for _ in range(min(repeat, 3))]
    tail = json.loads((folder / ".bpfcompat" / "report.json").read_text())["targets"][0]["functional"]["tests"][0]
    assert tail["stdout_bytes"] == 100_000_000
    return [Row("100 MB of output", tuple(one.seconds for one in ran))]


def peak_memory(folder: Path, repeat: int) -> list[Row]:
    """The largest process of a run, which is QEMU with what the guest has touched of its memory; and our own."""
    write_project(folder, MVP[-1:])
    changed_loader(folder)
    tool(folder)
    nothing = [right(run([*TOOL, "run"], folder)).rss_mib for _ in range(3)]
    warm, cold = (
        [right(run([*TOOL, "run", "--force", *flags], folder)).rss_mib for _ in range(min(repeat, 3))]
        for flags in ((), ("--cold",))
    )
    return [
        Row("peak memory of bpfcompat itself", tuple(nothing), "MiB"),
        Row("peak memory of a restored machine", tuple(warm), "MiB"),
        Row("peak memory of a cold one", tuple(cold), "MiB"),
    ]


def boot_images(folder: Path, repeat: int) -> list[Row]:
    """Disk of each boot image at 512 MiB of guest memory."""
    cache = folder / "cache"
    link_kernels(cache)
    changed_loader(folder)
    write_project(folder, MVP)
    right(run([*TOOL, "run"], folder, BPFCOMPAT_CACHE=str(cache)))
    sizes = tuple(image.size_bytes / 1e6 for image in bootimage.kept(cache))
    return [Row("boot image on disk, mean of 5 kernels", (sum(sizes) / len(sizes),), "MB", 75),
            Row("boot image on disk, the largest", (max(sizes),), "MB", 75)]  # fmt: skip


def link_kernels(cache: Path) -> None:
    """Give a new cache the kernels of the user's, so that only what is made of them is missing."""
    cache.mkdir()
    for name in ("kernels", "pins"):
        (cache / name).symlink_to(host.cache_folder() / name)


def empty_cache(folder: Path, repeat: int) -> list[Row]:
    """The first run of all, with and without what it downloads."""
    changed_loader(folder)
    write_project(folder, MVP[1:2])
    full, fetched = [], []
    for number in range(min(repeat, 3)):
        cache, linked = folder / f"cache-{number}", folder / f"linked-{number}"
        shutil.rmtree(folder / ".bpfcompat", ignore_errors=True)
        full.append(right(run([*TOOL, "run"], folder, BPFCOMPAT_CACHE=str(cache))).seconds)
        link_kernels(linked)
        shutil.rmtree(folder / ".bpfcompat", ignore_errors=True)
        fetched.append(right(run([*TOOL, "run"], folder, BPFCOMPAT_CACHE=str(linked))).seconds)
    return [
        Row("first run, one kernel, with its download", tuple(full)),
        Row("first run, one kernel, without its download", tuple(fetched)),
    ]


ALL = (
    qemu_alone, cold_boots, one_program, one_kernel, both_architectures, ten_kernels, many_verdicts, nothing_to_do, much_output,
    peak_memory, boot_images, empty_cache,
)  # fmt: skip
