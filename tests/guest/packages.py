"""RPM packages and their signatures, as vendors make them, of files that a test has."""

import os
import subprocess
import tempfile
from pathlib import Path


class Keys:
    """Throw-away OpenPGP keys, by name."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "home").mkdir(mode=0o700, parents=True)
        self.env = {**os.environ, "GNUPGHOME": str(folder / "home")}

    def gpg(self, *arguments, at="20260101T000000"):
        command = [
            "gpg",
            "--batch",
            "--quiet",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
            "--faked-system-time",
            at,
        ]
        subprocess.run([*command, *arguments], env=self.env, check=True, capture_output=True)

    def public(self, name, expires="never"):
        """Return the file of a key, which is made first if need be."""
        path = self.folder / f"{name}.asc"
        if not path.exists():
            self.gpg("--quick-generate-key", f"{name} <{name}@example.org>", "rsa2048", "sign", expires)
            self.gpg("--armor", "--output", str(path), "--export", f"{name}@example.org")
        return path

    def fingerprint(self, name):
        """Return the fingerprint of a key."""
        command = ["gpg", "--batch", "--with-colons", "--list-keys", f"{name}@example.org"]
        listed = subprocess.run(command, env=self.env, check=True, capture_output=True, text=True).stdout
        return next(line for line in listed.splitlines() if line.startswith("fpr:")).split(":")[9]

    def sign(self, name, *packages):
        """Sign packages with a key, which may have expired since."""
        wrapper = self.folder / "gpg"
        wrapper.write_text('#!/bin/sh\nexec /usr/bin/gpg --faked-system-time 20260115T000000 "$@"\n')
        wrapper.chmod(0o755)
        command = ["rpmsign", "--define", f"__gpg {wrapper}", "--define", f"_gpg_name {name}@example.org", "--addsign"]
        subprocess.run([*command, *packages], env=self.env, check=True, capture_output=True)

    def detached(self, name, file):
        """Sign a file beside it, armored."""
        self.gpg("--armor", "--local-user", f"{name}@example.org", "--detach-sign", str(file), at="20260115T000000")

    def beside(self, name, file):
        """Sign a file beside it, as FILE.sig, not armored."""
        self.gpg("--yes", "--local-user", f"{name}@example.org", "--detach-sign", str(file), at="20260115T000000")

    def clear(self, name, file, target):
        """Sign a text in itself."""
        self.gpg(
            "--local-user",
            f"{name}@example.org",
            "--output",
            str(target),
            "--clear-sign",
            str(file),
            at="20260115T000000",
        )

    def stop(self):
        subprocess.run(["gpgconf", "--kill", "all"], env=self.env, check=True)


def rpm(folder, name, tree, version="1-1", payload="w3.gzdio"):
    """Make a package of all below a folder and return it; payload: as rpm's _binary_payload."""
    work = Path(tempfile.mkdtemp(prefix="build.", dir=folder))
    number, release = version.split("-")
    (work / "spec").write_text(
        f"Name: {name}\nVersion: {number}\nRelease: {release}\nSummary: x\nLicense: x\nBuildArch: x86_64\nAutoReqProv: no\n"
        "%define __os_install_post %{nil}\n%define _build_id_links none\n%define debug_package %{nil}\n"
        f"%define _binary_payload {payload}\n%description\nx\n%install\ncp -a {tree}/. %{{buildroot}}/\n%files\n/*\n"
    )
    define = ["--target", "x86_64", "--define", f"_topdir {work}/top", "--define", f"_tmppath {work}/tmp"]
    subprocess.run(["rpmbuild", "-bb", "--quiet", *define, work / "spec"], check=True, capture_output=True)
    (made,) = work.rglob("*.rpm")
    return made.rename(folder / made.name)


def tree_of(folder, files):
    """Make a folder of some files: path below it -> content, or a file to copy."""
    for name, content in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return folder
