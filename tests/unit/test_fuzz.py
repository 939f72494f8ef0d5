"""Whatever stands in a file or comes out of a guest: a value, or an error with a sentence, in bounded time."""

import contextlib
import socket
import time
import zlib

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bpfcompat.errors import BpfcompatError
from bpfcompat.guest import PROTOCOL, preflight
from bpfcompat.kernels import image, modules
from bpfcompat.project import config, document, matrix, schema
from bpfcompat.report import table
from bpfcompat.system import digest
from bpfcompat.vm import console
from tests.parts import KIT

many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
some = settings(many, max_examples=60)

PIECES = st.sampled_from([
    "command", "matrix", "checks", "name", "id", "kernel", "timeout", "memory", "expect", "env", "binary", "files", ": ", "- ",
    "\n", "\n  ", "{", "}", "[", "]", ",", "&a ", "*a", "<<", "!!python/object:os.system ", "|\n ", "'", '"', "%", "@", "\t",
    "true", "no", "0x10", "1e9", "-1", "60s", "path:x", "a", "\\", "\0", "ä", "\u2028", "? ", "---\n", "...\n", "#",
])  # fmt: skip


@many
@given(st.lists(PIECES, max_size=40).map("".join))
@example("a: &a [*a]")
@example("&a a: *a")
@example("? [a]\n: b")
@example("{}: 1")
def test_any_project_file(tmp_path, text):
    file = tmp_path / "bpfcompat.yaml"
    file.write_text(text)
    with contextlib.suppress(BpfcompatError):
        config.load_project(file)


@many
@given(st.binary(max_size=200))
def test_any_bytes_as_a_project_file(tmp_path, content):
    file = tmp_path / "bpfcompat.yaml"
    file.write_bytes(content)
    with contextlib.suppress(BpfcompatError):
        document.read(file)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@many
@given(
    st.sampled_from(["command", "timeout", "matrix", "files", "env", "expect", "checks", "boot", "retries", "x"]),
    _VALUES,
)
def test_any_value_under_any_key(tmp_path, key, value):
    import json

    file = tmp_path / "bpfcompat.yaml"
    file.write_text(json.dumps({"command": "x", "matrix": [{"id": "a", "kernel": "path:x"}], key: value}))
    with contextlib.suppress(BpfcompatError):
        config.load_project(file)


@many
@given(st.text(max_size=12))
def test_any_text_as_a_time(text):
    with contextlib.suppress(ValueError):
        assert matrix.seconds(text) >= 0


def line(kind, *fields):
    body = "\t".join(["BPFCOMPAT", PROTOCOL, kind, "abc", *fields]).encode()
    return b"%s\t%08x\r\n" % (body, zlib.crc32(body))


@some
@given(st.lists(st.binary(max_size=300), max_size=5), st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_control_lines_are_found_in_any_noise_however_they_are_cut(noise, cuts):
    """Noise ends lines of its own, as a terminal's other writers do; what is right in between must come out, in order."""
    wanted = [line("GOT", str(number)) for number in range(len(noise))]
    stream = b"".join(b"%s\n%s" % (some_noise, good) for some_noise, good in zip(noise, wanted, strict=True)) + line(
        "END", "0"
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        control = console.Control(ours)
        at = 0
        for cut in cuts:
            theirs.sendall(stream[at : at + cut])
            at += cut
        theirs.sendall(stream[at:])
        found = []
        while not found or found[-1].kind != "END":
            found.append(control.next_line(time.monotonic() + 5))
    assert [one.fields[0] for one in found] == [*map(str, range(len(noise))), "0"]


@many
@given(st.binary(max_size=100), st.binary(min_size=8, max_size=8).map(lambda data: data.hex()[:8].encode()))
def test_a_line_that_is_not_whole_never_counts(body, checksum):
    if zlib.crc32(body) != int(checksum, 16):
        assert console.parse(body, checksum) is None


PROGRAM = KIT.busybox.read_bytes()


@many
@given(st.lists(st.tuples(st.integers(0, 1023), st.integers(0, 255)), max_size=8), st.integers(0, 4096))
def test_a_damaged_program_is_refused_or_taken_but_never_a_crash(tmp_path, changes, length):
    content = bytearray(PROGRAM[:4096] if length % 2 else PROGRAM)
    for at, byte in changes:
        content[at] = byte
    file = tmp_path / "loader"
    file.write_bytes(content[:length] if length < 64 else content)
    with contextlib.suppress(BpfcompatError):
        preflight.check_loader(file, file, False, preflight.Userland(frozenset))
    with contextlib.suppress(BpfcompatError):
        modules.dependencies(bytes(content), file)
    image._has_pvh_entry(bytes(content))


@many
@given(st.binary(max_size=64), st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
@example(b"\x1f\x8b" + bytes(20), 1, 0, 22)
@example(b"\x28\xb5\x2f\xfd" + bytes(20), 1, 0, 24)
def test_any_bzimage_is_unpacked_or_taken_as_it_is(tmp_path, payload, sectors, offset, length):
    head = bytearray(1024)
    head[0x1F1] = sectors
    head[0x202:0x206] = b"HdrS"
    head[0x248:0x24C], head[0x24C:0x250] = offset.to_bytes(4, "little"), length.to_bytes(4, "little")
    with contextlib.suppress(BpfcompatError):
        image.unpacked(bytes(head) + payload, tmp_path)


@many
@given(st.text())
def test_no_text_reaches_a_terminal_with_control_characters(text):
    shown = table.plain(text)
    assert not any(ord(char) < 32 and char not in "\n\t" for char in shown)
    assert not any(0x7F <= ord(char) < 0xA0 or char in "\u202e\u2066\u2028" for char in shown)


@some
@given(st.lists(st.tuples(st.integers(0, 40), st.binary(min_size=1, max_size=9000)), max_size=5))
def test_a_sparse_digest_tells_contents_apart(tmp_path, writes):
    content = bytearray(50 * 9000)
    for place, data in writes:
        content[place * 9000 : place * 9000 + len(data)] = data
    (tmp_path / "a").write_bytes(content)
    known = digest.of_sparse_file(tmp_path / "a")
    content[len(content) // 2] ^= 1
    (tmp_path / "a").write_bytes(content)
    assert digest.of_sparse_file(tmp_path / "a") != known


@pytest.mark.parametrize("name", ["project", "matrix"])
def test_the_schemas_are_schemas(name):
    assert schema.problems([], name)
