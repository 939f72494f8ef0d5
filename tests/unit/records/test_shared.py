"""Objects in a folder, on a web server and in a bucket: real servers on loopback."""

import contextlib
import http.server
import socket
import threading
from pathlib import Path

import pytest

from bpfcompat.errors import BpfcompatError
from bpfcompat.records import shared


class ReadOnly(http.server.SimpleHTTPRequestHandler):
    """A web server's folder."""

    def log_message(self, *args):
        pass


class WebFolder(ReadOnly):
    """The same, which takes PUT, as WebDAV has it."""

    def do_PUT(self):
        path = Path(self.translate_path(self.path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(201)
        self.end_headers()


@contextlib.contextmanager
def web(folder, handler=WebFolder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: handler(*args, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/verdicts"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def bucket(monkeypatch):
    """A server that speaks S3's protocol (moto)."""
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    try:
        s3fs.S3FileSystem.clear_instance_cache()  # the last test's connections
        boto3.client("s3").create_bucket(Bucket="verdicts")
        yield "s3://verdicts/below"
    finally:
        server.stop()


@pytest.fixture(params=["path", "file", "http", "s3"])
def url(request, tmp_path, monkeypatch):
    if request.param in {"path", "file"}:
        yield f"{'file://' if request.param == 'file' else ''}{tmp_path / 'place'}"
        return
    with web(tmp_path) if request.param == "http" else bucket(monkeypatch) as found:
        yield found


def test_what_is_written_is_read_by_another(url):
    place = shared.SharedPlace(url)
    assert place.get("v1/aa/x.tar.gz") is None
    place.put("v1/aa/x.tar.gz", b"\0one\xff")
    assert shared.SharedPlace(f"{url}/").get("v1/aa/x.tar.gz") == b"\0one\xff"
    assert place.get("v1/aa/y.tar.gz") is None
    place.put("v1/aa/x.tar.gz", b"two")
    assert place.get("v1/aa/x.tar.gz") == b"two"


def test_a_folder_holds_nothing_but_whole_objects(tmp_path):
    place = shared.SharedPlace(str(tmp_path / "place"))
    for name in ("a", "b"):
        place.put(f"v1/{name}", name.encode())
    assert sorted(path.name for path in (tmp_path / "place").rglob("*") if path.is_file()) == ["a", "b"]


def test_a_server_that_takes_nothing_says_so_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "_PAUSE", 1e9)  # not a second try, whose pause would be for ever
    with web(tmp_path, ReadOnly) as url:
        place = shared.SharedPlace(url)
        (tmp_path / "verdicts").mkdir()
        (tmp_path / "verdicts" / "x").write_bytes(b"1")
        assert place.get("x") == b"1"
        with pytest.raises(shared.Unreachable, match="501"):
            place.put("y", b"1")


def test_a_server_that_is_not_there_is_asked_three_times(monkeypatch):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    pauses = []
    monkeypatch.setattr(shared.time, "sleep", pauses.append)
    with pytest.raises(shared.Unreachable):
        shared.SharedPlace(f"http://127.0.0.1:{port}/x").get("y")
    assert pauses == [0.25, 1.0]


def test_one_failure_of_a_moment_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "_PAUSE", 0)
    failures = iter([503, 503])

    class Shaky(WebFolder):
        def do_GET(self):
            if code := next(failures, None):
                self.send_error(code)
            else:
                super().do_GET()

    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts" / "x").write_bytes(b"1")
    with web(tmp_path, Shaky) as url:
        assert shared.SharedPlace(url).get("x") == b"1"


@pytest.mark.parametrize(
    ("url", "words"), [("nowhere://x", "cannot be opened"), ("gs://bucket/x", "a library that is not installed")]
)
def test_what_cannot_be_opened_is_a_sentence(url, words):
    with pytest.raises(BpfcompatError, match=words):
        shared.SharedPlace(url)
