"""Building the kit: each part in a folder that is known by what it is made of, then all of them together."""

from __future__ import annotations

import lzma
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.architecture import Architecture
from bpfcompat.errors import BpfcompatError
from bpfcompat.guest.kit import contents
from bpfcompat.guest.kit.lock import Lock
from bpfcompat.guest.kit.lock import read as read_lock
from bpfcompat.guest.kit.toolchain import RUNS_ON, Toolchain, unpacked
from bpfcompat.guest.kit.tools import collect, names
from bpfcompat.system import atomic, debian, digest, host, processes

GUEST = Path(__file__).parents[1]
_PATCHES = {"bash": ("deb-bash-config", "bash-default-editor", "input-err", "bash-aliases-repeat")}
"""Debian's own, of which the rest are manual pages; where a package is not named, all of them are taken."""
_BASH_ANSWERS = Path(__file__).with_name("bash.answers")
_NOT_IN_BUSYBOX = ("FEATURE_PREFER_APPLETS", "FEATURE_SH_STANDALONE")
"""With these an applet that starts a program takes another applet: `timeout 5 ip` would not start the ip beside it."""


def build(cache: Path, say: Callable[[str], None], guest: Architecture) -> contents.Kit:
    """Build the kit of these sources, unless that is done; raises BpfcompatError.

    say: called with what goes on.
    """
    target = contents.built_path(cache, guest)
    with atomic.locked(cache / "kit" / "lock"):
        if not target.exists():
            lock = read_lock(guest)
            say(f"fetching and unpacking the pinned compiler and tools for {guest.name}")
            toolchain = _toolchain(lock, cache, guest)
            packages = unpacked(lock.tools, cache, "packages")
            parts = Parts(lock, toolchain, cache, say)
            libbpf, bash, busybox = parts.libbpf(), parts.bash(), parts.busybox()
            say("compiling init and the validator")
            with atomic.folder(target) as fresh:
                shutil.copy(bash / "bash", fresh / "bash")
                shutil.copy(busybox / "busybox", fresh / "busybox")
                compile_guest(toolchain, fresh)
                collect(packages, fresh / "tools", guest)
                _add_licences(packages, {"bash": bash, "busybox": busybox, "libbpf": libbpf}, fresh / "licences")
                _add_etc(packages, fresh / "etc")
                keyring = packages / "usr/share/keyrings/debian-archive-keyring.gpg"
                shutil.copyfile(keyring, fresh / keyring.name)
                _describe(fresh, (busybox / "applets").read_text().split())
    return contents.read(target, guest)


def compiler(cache: Path, guest: Architecture) -> Path:
    """Return a kit's compiler, which finds libbpf, libelf and zlib by itself; raises BpfcompatError."""
    return _toolchain(read_lock(guest), cache, guest).bin / "cc"


def _toolchain(lock: Lock, cache: Path, guest: Architecture) -> Toolchain:
    if architecture.host() is not RUNS_ON:
        raise BpfcompatError(
            f"the compiler that the kit is built with runs on {RUNS_ON.name}.",
            "install the wheel, which brings the kit along",
        )
    return Toolchain(unpacked(lock.toolchain, cache, "toolchain"), guest)


class Parts:
    """What is built from sources, each part once."""

    def __init__(self, lock: Lock, toolchain: Toolchain, cache: Path, say: Callable[[str], None]) -> None:
        """Nothing is built yet."""
        self._lock = lock
        self._toolchain = toolchain
        self._cache = cache
        self._say = say

    def libbpf(self) -> Path:
        """Return a folder with libbpf's licence; its library is beside the compiler, where whatever is compiled finds it."""

        def make(source: Path, target: Path) -> None:
            into = self._toolchain.libbpf
            shutil.rmtree(into, ignore_errors=True)
            self._toolchain.run(
                "make", "-s", "-C", "src", "BUILD_STATIC_ONLY=1", "NO_PKG_CONFIG=1", f"CC={self._toolchain.bin}/cc",
                f"AR={self._toolchain.bin}/ar", f"OBJDIR={source}/objects", f"DESTDIR={into}", "PREFIX=", "LIBDIR=/lib",
                "install", "install_uapi_headers", folder=source, doing="building libbpf",
            )  # fmt: skip
            shutil.copyfile(source / "LICENSE.BSD-2-Clause", target / "COPYING")

        return self._part("libbpf", make, also=[str(self._toolchain.root)])

    def bash(self) -> Path:
        """Return a folder with a static bash that has its symbols: uretprobes on `readline` are every tutorial's."""

        def make(source: Path, target: Path) -> None:
            compiler = f"{self._toolchain.bin}/cc -static"
            answers = dict(re.findall(r"^(\w+)=(.*)$", _BASH_ANSWERS.read_text(), re.MULTILINE))
            self._toolchain.run(
                "sh", "./configure", f"--build={RUNS_ON.triplet}", f"--host={self._toolchain.guest.triplet}", "--prefix=/usr",
                "--enable-static-link", "--without-bash-malloc", "--disable-nls", "--enable-largefile", "--with-curses",
                folder=source, doing="configuring bash", CC=compiler, CFLAGS="-O2 -g0",
                CC_FOR_BUILD=f"{self._toolchain.host_compiler} -static",
                AR=f"{self._toolchain.bin}/ar", RANLIB=f"{self._toolchain.bin}/ranlib", **answers,
            )  # fmt: skip
            jobs = f"-j{host.processors()}"
            self._toolchain.run("make", "-s", jobs, "SHELL=/bin/sh", "bash", folder=source, doing="building bash")
            shutil.copy(source / "bash", target / "bash")
            shutil.copyfile(source / "COPYING", target / "COPYING")

        return self._part("bash", make, also=_BASH_ANSWERS.read_text())

    def busybox(self) -> Path:
        """Return a folder with a static busybox, configured as Debian's busybox-static but for _NOT_IN_BUSYBOX."""

        def make(source: Path, target: Path) -> None:
            config = (source / "debian/config/pkg/static").read_text()
            for name in _NOT_IN_BUSYBOX:
                config = config.replace(f"CONFIG_{name}=y", f"# CONFIG_{name} is not set")
            (source / ".config").write_text(config)
            programs = [
                f"{name.upper()}={self._toolchain.bin}/{name}" for name in ("cc", "ar", "nm", "strip", "ld", "objcopy")
            ]
            programs += [f"HOSTCC={self._toolchain.host_compiler} -static", f"ARCH={self._toolchain.guest.uname}"]
            # What the configuration of this version does not say is as busybox has it by itself.
            for goal in ("silentoldconfig", "busybox", "busybox.links"):
                words = [
                    "sh",
                    "-c",
                    'yes "" | "$@"',
                    "sh",
                    "make",
                    "-s",
                    f"-j{host.processors()}",
                    "SKIP_STRIP=y",
                    *programs,
                    goal,
                ]
                self._toolchain.run(*words, folder=source, doing="building busybox")
            shutil.copy(source / "busybox", target / "busybox")
            shutil.copyfile(source / "busybox.links", target / "applets")
            shutil.copyfile(source / "LICENSE", target / "COPYING")

        return self._part("busybox", make, also="applets")

    def _part(self, name: str, make: Callable[[Path, Path], None], also: object = None) -> Path:
        files = self._lock.files(name)
        mark = digest.of_json([contents.RECIPE, [row.sha256 for row in (*files, *self._lock.toolchain)], also])
        target = self._cache / "kit" / f"{name}-{mark[:32]}"
        if not target.exists():
            self._say(f"building {name} {files[0].version}")
            with atomic.folder(target) as fresh:
                source = fresh / "source"
                source.mkdir()
                for row in files:
                    self._unpack(debian.file(row.path, row.sha256, self._cache / "kit" / "downloads"), row.path, source)
                self._patch(name, source)
                make(source, fresh)
                shutil.rmtree(source)
        return target

    def _unpack(self, archive: Path, path: str, source: Path) -> None:
        """Unpack an upstream archive without its outermost folder, or Debian's beside it as debian/."""
        keep = ".debian.tar." in path
        strip = [] if keep else ["--strip-components=1"]
        kind = {"gz": "-z", "bz2": "-j", "xz": "-J"}[path.rpartition(".")[2]]
        processes.check(
            ["tar", "--no-same-owner", kind, "-x", *strip, "-f", str(archive), "-C", str(source)],
            doing=f"unpacking {path.rpartition('/')[2]}",
            hint="apt-get install tar gzip bzip2 xz-utils",
        )

    def _patch(self, name: str, source: Path) -> None:
        series = source / "debian/patches/series"
        listed = re.findall(r"^([^#\s]\S*)", series.read_text(), re.MULTILINE) if series.exists() else []
        wanted = _PATCHES.get(name)
        for patch in listed:
            if wanted is None or patch.rpartition(".")[0] in wanted:
                words = ["patch", "-s", "-p1", "--batch", "-i", f"debian/patches/{patch}"]
                self._toolchain.run(*words, folder=source, doing=f"applying {patch} to {name}")


def compile_guest(toolchain: Toolchain, target: Path) -> None:
    """Compile init and the validator into a folder; raises BpfcompatError."""
    flags = ("-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror")
    for name, libraries in (("init", ()), ("validator", ("-Wl,--wrap=syscall", "-lbpf", "-lelf", "-lz"))):
        toolchain.compile(
            *flags, "-o", target / name, "main.c", *libraries, folder=GUEST / name, doing=f"compiling {name}"
        )


def _add_licences(packages: Path, built: dict[str, Path], target: Path) -> None:
    target.mkdir()
    for copyright_file in sorted(packages.glob("usr/share/doc/*/copyright")):
        shutil.copyfile(copyright_file, target / copyright_file.parent.name)
    for name, folder in built.items():
        shutil.copyfile(folder / "COPYING", target / f"{name} (built from source)")


def _add_etc(packages: Path, target: Path) -> None:
    """Copy Debian's system users and the well-known numbers; tcpdump drops its privileges to a user of its own."""
    target.mkdir()
    for name in ("passwd", "group"):
        text = (packages / "usr/share/base-passwd" / f"{name}.master").read_text().replace(":*:", ":x:")
        own = {"passwd": "tcpdump:x:105:112::/nonexistent:/usr/sbin/nologin\n", "group": "tcpdump:x:112:\n"}[name]
        (target / name).write_text(text + own)
    for name in ("protocols", "services"):
        shutil.copyfile(packages / "etc" / name, target / name)


def _describe(folder: Path, links: Iterable[str]) -> None:
    """Write kit.json, by which the kit is found and known.

    links: paths under which busybox is called; it would list its applets itself, but may be of another architecture.
    """
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    applets = sorted({link.rpartition("/")[2] for link in links} - {"busybox", "bash"})
    atomic.write_json(
        folder / "kit.json", {"identity": contents.identity(folder), "applets": applets, "programs": names()}
    )


def pack(built: contents.Kit, target: Path) -> None:
    """Write a kit as a compressed tar archive; what is in it has no times and no owners."""
    with (
        atomic.written(target) as file,
        lzma.open(file, "w", preset=9) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in sorted(built.folder.rglob("*")):
            archive.add(path, str(path.relative_to(built.folder)), recursive=False, filter=_nameless)


def _nameless(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.mtime = 0
    member.uname = member.gname = ""
    return member
