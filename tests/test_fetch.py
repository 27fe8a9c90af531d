"""Downloads from a real server on loopback: whole and with the pinned digest, or not at all."""

from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from emflow.fetch import fetch_file
from emflow.files import InputError

CONTENT = b"lanterns " * 50_000


class Publisher(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/gone":
            return self.send_error(404)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
            return self.end_headers()
        self.send_response(200)
        if self.path != "/chunkless":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:-1] if self.path in ("/truncated", "/chunkless") else CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Publisher) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.mark.parametrize("page", ["/whole", "/moved"])
def test_whole_file_with_the_right_digest(server, tmp_path, page):
    assert fetch_file(server + page, sha256(CONTENT).hexdigest(), tmp_path / "a/file") == len(CONTENT)
    assert (tmp_path / "a/file").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("page", "pinned", "expected"),
    [
        ("/whole", "0" * 64, ["not the file that the config pins", "0" * 64, sha256(CONTENT).hexdigest()]),
        ("/truncated", sha256(CONTENT).hexdigest(), [f"broke off after {len(CONTENT) - 1} of {len(CONTENT)} bytes"]),
        ("/chunkless", sha256(CONTENT).hexdigest(), ["not the file that the config pins"]),
        ("/gone", "0" * 64, ["cannot fetch", "404"]),
    ],
)
def test_nothing_else_lands(server, tmp_path, page, pinned, expected):
    (tmp_path / "file").write_text("an earlier one")
    with pytest.raises(InputError) as refused:
        fetch_file(server + page, pinned, tmp_path / "file")
    for words in [*expected, server + page]:
        assert words in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "an earlier one"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/nobody", "http://", "nonsense"])
def test_unreachable(tmp_path, url):
    with pytest.raises(InputError, match="cannot fetch"):
        fetch_file(url, "0" * 64, tmp_path / "file")
