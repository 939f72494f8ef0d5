"""Signatures of packages, checked against a few chosen keys: RPM's by the host's rpmkeys, those beside a file by gpg."""

from __future__ import annotations

import datetime
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.outcome import Classification
from bpfcompat.system import host, processes

_SHA1_POLICY = """\
[hash_algorithms]
sha1.second_preimage_resistance = "always"
sha224 = "always"
sha256 = "always"
sha384 = "always"
sha512 = "always"
default_disposition = "never"
"""
"""For rpm built with Sequoia, which refuses a key whose signature of itself is made with SHA-1. In such a signature nobody
but the key's owner has chosen the text, so that collisions do not matter."""

_ELSEWHERE = "fetch it from the vendor's own server; nothing of it was kept"


@dataclass(frozen=True)
class _Key:
    fingerprint: str
    expires: int
    """Seconds since 1970; 0 for never."""

    @property
    def has_expired(self) -> bool:
        return 0 < self.expires < datetime.datetime.now(datetime.timezone.utc).timestamp()

    def said(self) -> str:
        day = datetime.datetime.fromtimestamp(self.expires, datetime.timezone.utc).date()
        return f"the key {self.fingerprint[-16:]}, which expired on {day}"


def check(packages: Sequence[Path], keys: Sequence[Path], folder: Path, *, sha1: bool = False) -> list[str]:
    """Raise NoVerdict unless every package is whole and signed by one of the keys that has not expired; return whose key signed each.

    A key is told by the last eight digits of its fingerprint.

    keys: files of OpenPGP public keys.
    folder: to work in.
    sha1: accept keys whose signatures of themselves are made with SHA-1.
    """
    try:
        known = _imported(keys, folder, sha1)
        return [_checked(package, known, folder, sha1) for package in packages]
    except NoVerdict:
        raise
    except BpfcompatError as error:
        raise _refused(" ".join(error.message.split()), error.hint) from error


def check_detached(signed: Sequence[tuple[Path, Path]], keys: Sequence[Path], folder: Path) -> None:
    """Raise NoVerdict unless every file has beside it the signature of one of the keys that has not expired.

    signed: files, each with that of its signature.
    keys, folder: as of `check`.
    """
    try:
        known, usable = _listed(keys, folder)
        names = [key.fingerprint for key in usable]
        for file, signature in signed:
            result = processes.run([*_gpg(folder / "gpg"), "--status-fd", "1", "--verify", str(signature), str(file)])
            _judge(file, result.stdout.decode(errors="replace"), known, names)
    except NoVerdict:
        raise
    except BpfcompatError as error:
        raise _refused(" ".join(error.message.split()), error.hint) from error


def _judge(file: Path, status: str, known: Sequence[_Key], usable: Sequence[str]) -> None:
    """Raise NoVerdict unless gpg's status lines, which its doc/DETAILS describes, tell of a good signature by a usable key."""
    good = re.search(r"^\[GNUPG:\] VALIDSIG (?:\S+ ){9}([0-9A-F]+)$", status, re.MULTILINE)
    signer = re.search(r"^\[GNUPG:\] (ERRSIG|EXPKEYSIG|REVKEYSIG) ([0-9A-F]+)", status, re.MULTILINE)
    if good and good[1] in usable and "[GNUPG:] GOODSIG" in status:
        return
    expired = next((key for key in known if good and good[1] == key.fingerprint and key.has_expired), None)
    if "[GNUPG:] BADSIG" in status:
        why = "is damaged or was changed: its signature is of something else"
    elif expired:
        why = f"is signed by {expired.said()}"
    elif signer:
        which = {"EXPKEYSIG": "has expired", "REVKEYSIG": "was revoked"}.get(
            signer[1], f"is not one of {', '.join(key.fingerprint[-16:] for key in known)}"
        )
        why = f"is signed by the key {signer[2]}, which {which}"
    else:
        why = "has no signature beside it, but another file in its place"
    raise _refused(f"the package {file.name} {why}.", _ELSEWHERE)


def has_current_key(file: Path) -> bool:
    """Tell whether a file of OpenPGP keys has one that has not expired; so it is taken to be where there is no gpg to tell."""
    with tempfile.TemporaryDirectory(prefix="bpfcompat-") as ring:
        try:
            listed = processes.run([*_gpg(Path(ring)), "--show-keys", "--with-colons", str(file)]).stdout
        except BpfcompatError:
            return True
    return any(not key.has_expired for key in _keys(listed))


def _gpg(ring: Path) -> list[str]:
    return [
        host.program("gpg"),
        "--homedir",
        str(ring),
        "--batch",
        "--quiet",
        "--no-autostart",
        "--no-auto-check-trustdb",
    ]


def _keys(listed: bytes) -> list[_Key]:
    """Return the keys in gpg's list with colons, whose form is described in its doc/DETAILS."""
    found = re.findall(
        r"^pub:(?:[^:]*:){5}(\d*):.*\n(?:(?!pub:|fpr:).*\n)*fpr:(?:[^:]*:){8}([0-9A-F]+):",
        listed.decode(errors="replace"), re.MULTILINE,
    )  # fmt: skip
    return [_Key(fingerprint, int(expires or 0)) for expires, fingerprint in found]


def _listed(keys: Sequence[Path], folder: Path) -> tuple[list[_Key], list[_Key]]:
    """Make a ring of the keys in some files, and return all of them and those that have not expired."""
    ring = folder / "gpg"
    ring.mkdir(mode=0o700)
    gpg = _gpg(ring)
    for file in keys:
        if not file.is_file():
            raise _refused(f"there is no key {file}.", "correct `key:`")
        # A key that this gpg cannot read is none that signs for us: the list tells what came in.
        processes.run([*gpg, "--import", str(file)])
    found = _keys(processes.run([*gpg, "--list-keys", "--with-colons"]).stdout)
    usable = [key for key in found if not key.has_expired]
    names = ", ".join(path.name for path in keys)
    if not usable:
        why = f"{names} holds only {found[0].said()}" if found else f"{names} holds no OpenPGP key"
        raise _refused(f"{why}.", "name a file of the keys that are in use now with `key:`")
    return found, usable


def _imported(keys: Sequence[Path], folder: Path, sha1: bool) -> list[_Key]:
    """Make rpm's database of those keys that have not expired, and return all that the files hold."""
    found, usable = _listed(keys, folder)
    gpg, names = _gpg(folder / "gpg"), ", ".join(path.name for path in keys)
    for key in usable:
        armored = folder / f"{key.fingerprint}.asc"
        armored.write_bytes(processes.check([*gpg, "--armor", "--export", key.fingerprint], doing="reading a key"))
        processes.check(
            [*_rpmkeys(folder), "--import", str(armored)],
            doing=f"importing the key {key.fingerprint[-16:]} of {names}",
            env=_environment(folder, sha1),
        )
    return found


def _rpmkeys(folder: Path) -> list[str]:
    # Without _pkgverify_level an unsigned package passes: its digests are right.
    return [host.program("rpmkeys"), "--define", "_pkgverify_level all", "--dbpath", str(folder / "rpmdb")]


def _environment(folder: Path, sha1: bool) -> dict[str, str]:
    plain = {**os.environ, "LC_ALL": "C"}
    if not sha1:
        return plain
    policy = folder / "policy.toml"
    policy.write_text(_SHA1_POLICY)
    return {**plain, "RPM_SEQUOIA_CRYPTO_POLICY": str(policy)}


def _checked(package: Path, known: Sequence[_Key], folder: Path, sha1: bool) -> str:
    result = processes.run([*_rpmkeys(folder), "-Kv", str(package)], env=_environment(folder, sha1))
    said = result.stdout.decode(errors="replace")
    if result.returncode == 0:
        good = re.search(r"Signature, key (?:ID|fingerprint:) ([0-9a-f]+): OK", said)
        return good[1][-8:] if good else ""
    signer = re.search(r"Signature, key ID ([0-9a-f]+): NOKEY", said)
    bad = re.search(r"^\s*(.*(?:digest|Signature).*: BAD.*)$", said, re.MULTILINE)
    expired = next((key for key in known if signer and key.fingerprint.lower().endswith(signer[1])), None)
    if bad:
        why = f"is damaged or was changed: {bad[1]}"
    elif expired:
        why = f"is signed by {expired.said()}"
    elif signer:
        why = (
            f"is signed by the key {signer[1]}, which is not one of {', '.join(key.fingerprint[-16:] for key in known)}"
        )
    elif "Signature, key ID" not in said:
        why = "is not signed"
    else:
        why = f"is not accepted: {' '.join((said or result.stderr.decode(errors='replace')).split())}"
    raise _refused(f"the package {package.name} {why}.", _ELSEWHERE)


def _refused(message: str, hint: str = "") -> NoVerdict:
    return NoVerdict(Classification.KERNEL_UNAVAILABLE, message, hint)
