"""Root folders of other hosts, made by debootstrap once and kept: Python, QEMU and e2fsprogs are all that is installed."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from bpfcompat.system import debian

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bpfcompat-hosts"
PACKAGES = ("python3", "python3-venv", "qemu-system-x86", "e2fsprogs", "ca-certificates")
SUITES = {"bookworm": "bookworm", "trixie": "trixie", "forky": "forky", "ubuntu": "bookworm"}
"""`ubuntu` imitates one: Debian 12 without Debian's keyring and sources, with a shell script as bpftool."""
_FORMAT = 1
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_UBUNTU = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n'


def bootstrapped(name, suite, packages, complete=lambda root: None):
    """Return a root folder with some packages of a suite, made first if need be; `complete` is called with it then."""
    root = CACHE / f"{name}-{_FORMAT}"
    if not root.exists():
        fresh = root.with_name(f".{root.name}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        script = Path("/usr/share/debootstrap/scripts") / suite
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, fresh, debian.mirrors()[0],
             *([] if script.exists() else [script.with_name("sid")])],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        complete(fresh)
        shutil.rmtree(fresh / "var/cache/apt/archives", ignore_errors=True)
        (fresh / "var/cache/apt/archives/partial").mkdir(parents=True)
        fresh.rename(root)
    return root


def made(name):
    """Return a host's root folder, made first if need be."""

    def complete(fresh):
        if name == "ubuntu":
            _imitate_ubuntu(fresh)
        subprocess.run(["chroot", fresh, "useradd", "--create-home", "tester"], check=True)

    packages = [*PACKAGES, *(["python-apt-common"] if name == "ubuntu" else [])]
    return bootstrapped(name, SUITES[name], packages, complete)


def _imitate_ubuntu(root):
    subprocess.run(
        ["chroot", root, "dpkg", "--purge", "--force-depends", "debian-archive-keyring"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for keys in (*root.glob("etc/apt/trusted.gpg.d/*"), *root.glob("usr/share/keyrings/debian*")):
        keys.unlink()
    (root / "etc/apt/sources.list").write_text("deb http://archive.ubuntu.example/ubuntu noble main\n")
    (root / "etc/os-release").unlink()
    (root / "etc/os-release").write_text(_UBUNTU)
    bpftool = root / "usr/sbin/bpftool"
    bpftool.write_text('#!/bin/bash\necho "WARNING: bpftool not found for kernel" >&2\nexit 2\n')
    bpftool.chmod(0o755)
    for program in ("gcc", "cc", "busybox", "bash-static", "clang"):
        assert shutil.which(program, path=f"{root}/usr/bin:{root}/bin") is None, program


@contextlib.contextmanager
def entered(root, shared):
    """Yield a function that runs a shell script in a root folder, in which `shared` is /shared, and returns what came of it."""
    for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", str(_CERTIFICATES)):
        if Path(name).exists():
            (root / name.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, root / name.lstrip("/"))
    for folder in ("shared", "proc", "dev", "sys"):
        (root / folder).mkdir(exist_ok=True)
    mounts = (
        'mount --bind "$1" "$2/shared" && mount -t proc proc "$2/proc" && mount --rbind /dev "$2/dev"'
        ' && mount -t tmpfs tmpfs "$2/tmp" && mount -t tmpfs tmpfs "$2/run"'
    )

    def run(script, user="root"):
        home = "/root" if user == "root" else f"/home/{user}"
        inside = (
            f'exec chroot --userspec={user} "$2" env -i HOME={home} PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin'
        )
        inside += f" SSL_CERT_FILE={_CERTIFICATES} PIP_CERT={_CERTIFICATES} LANG=C.UTF-8 sh -ec 'cd; {script}'"
        return subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "sh", "-ec", f"{mounts} && {inside}", "sh", shared, root],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    yield run
