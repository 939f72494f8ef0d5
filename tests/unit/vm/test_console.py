"""Control lines, and ports that are drained whatever happens."""

import zlib

from bpfcompat.guest import PROTOCOL
from bpfcompat.vm import console


def line(body: bytes) -> bytes:
    return b"%s\t%08x\r\n" % (body, zlib.crc32(body))


def test_a_control_line_counts_only_whole():
    body = f"BPFCOMPAT\t{PROTOCOL}\tEND\tabc\t0\t1".encode()
    good = line(body)
    match = console._LINE.search(good)
    assert console.parse(*match.groups()) == console.Line("END", "abc", ("0", "1"))
    for at in range(len(good) - 2):
        damaged = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        match = console._LINE.search(damaged)
        assert match is None or console.parse(*match.groups()) is None, at


def test_a_line_of_another_protocol_is_not_understood():
    body = f"BPFCOMPAT\t{PROTOCOL}0\tEND\tabc\t0".encode()
    assert console.parse(body, b"%08x" % zlib.crc32(body)) is None


def test_a_full_disk_stalls_no_guest_and_is_told(tmp_path):
    import socket

    from bpfcompat.vm.console import Streams

    (tmp_path / "stdout.log").symlink_to("/dev/full")
    pairs = {name: socket.socketpair() for name in ("console", "stdout", "stderr")}
    streams = Streams({name: pair[0] for name, pair in pairs.items()}, tmp_path, lambda: None)
    for _ in range(50):
        pairs["stdout"][1].sendall(b"x" * 65536)  # would block for ever if nobody read
    assert streams.wait_for(50 * 65536, 0, 10)
    for pair in pairs.values():
        pair[1].close()
    streams.join()
    for pair in pairs.values():
        pair[0].close()
    assert "stdout.log cannot be written: No space left on device" in (streams.failure or "")


def test_a_port_that_is_flooded_keeps_its_beginning_and_its_end(tmp_path):
    import socket

    from bpfcompat.vm.console import Streams

    pairs = {name: socket.socketpair() for name in ("console", "stdout", "stderr")}
    streams = Streams({name: pair[0] for name, pair in pairs.items()}, tmp_path, lambda: None)
    pairs["stdout"][1].sendall(b"first" + b"x" * (3 << 20) + b"last")
    for pair in pairs.values():
        pair[1].close()
    streams.join()
    for pair in pairs.values():
        pair[0].close()
    data = (tmp_path / "stdout.log").read_bytes()
    kept = (1 << 20) + (1 << 17)
    gap = b"\n[bpfcompat: %d bytes left out here]\n" % ((3 << 20) + 9 - kept)
    assert data.startswith(b"firstxxx")
    assert data.endswith(b"xxxlast")
    assert data[1 << 20 :].startswith(gap)
    assert len(data) == kept + len(gap)
    assert streams.failure is None
