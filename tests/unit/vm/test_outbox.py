"""What the guest leaves in its outbox: taken if it is what the guest says, and written to no other place."""

import contextlib
import io
import os
import tarfile
import zlib

import pytest

from bpfcompat.outcome import Collected
from bpfcompat.vm.outbox import DamagedError, Outbox


@pytest.fixture
def outbox(tmp_path):
    with contextlib.closing(Outbox(tmp_path)) as made:
        yield made


def filled(outbox, *members):
    """Fill an outbox with these members: name, content, and what else a member is; return what a guest says of it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content, *other in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in dict(*other).items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))
    os.pwrite(outbox.fileno(), packed.getvalue(), 0)
    return len(packed.getvalue()), zlib.crc32(packed.getvalue())


def test_streams_files_and_notes_are_told_apart(tmp_path, outbox):
    said = filled(
        outbox, ("stdout", b"out\0"), ("stderr", b""), ("collected/a/b", b"file", {"mode": 0o700}), ("notes", b"one\0two\0")
    )  # fmt: skip
    found = outbox.empty_into(tmp_path, *said)
    assert (found.stdout, found.stderr, found.notes) == (b"out\0", b"", ("one", "two"))
    digest = "3b9c358f36f0a31b6ad3e14f309c7cf198ac9246e8316f9ce543d5b19ac02b80"
    assert found.collected == (Collected("a/b", digest, 4),)
    assert (tmp_path / "collected" / "a" / "b").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("length", "checksum", "words"),
    [(0, 1, "checksum"), (-512, 0, "checksum"), (2 << 30, 0, "of .* bytes")],
)
def test_what_is_not_what_the_guest_says_is_not_taken(tmp_path, outbox, length, checksum, words):
    true_length, true_checksum = filled(outbox, ("stdout", b"out"))
    with pytest.raises(DamagedError, match=words):
        outbox.empty_into(tmp_path, true_length + length, true_checksum + checksum)


@pytest.mark.parametrize(
    "member",
    [
        ("collected/../../x", b"x"), ("/etc/x", b"x"), ("collected", b"x"), ("other/x", b"x"),
        ("collected/x", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("collected/x", b"", {"type": tarfile.CHRTYPE}),
    ],
)  # fmt: skip
def test_nothing_is_written_elsewhere(tmp_path, outbox, member):
    said = filled(outbox, member)
    with pytest.raises(DamagedError):
        outbox.empty_into(tmp_path, *said)
    assert not list(tmp_path.rglob("*"))


def test_nothing_is_left_of_it(tmp_path):
    outbox = Outbox(tmp_path)
    assert not list(tmp_path.iterdir())
    outbox.close()
