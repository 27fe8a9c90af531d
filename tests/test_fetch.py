"""Downloads from a real server on loopback: whole and with the pinned digest, or not at all; commits and pins."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from emflow.fetch import _download, fetch_file
from emflow.files import InputError
from emflow.models.commit import commit_of

CONTENT = b"lanterns " * 50_000
NEWEST, EARLIER = "a" * 40, "b" * 40
MODEL = {"config.json": b"{}", "model.safetensors": CONTENT, "sub/notes.txt": b"lit", "pytorch_model.bin": b"x" * 99}


class Publisher(BaseHTTPRequestHandler):
    """Files, and a hub with one model."""

    def do_HEAD(self):
        self.do_GET()

    def hub(self, commit: str, file: str | None) -> None:
        """What the commit is and which files it has, or one of these."""
        if file is None:
            listed = [{"rfilename": name} for name in MODEL]
            return self.send({"id": "org/wick", "sha": commit, "siblings": listed})
        self.send(MODEL[file], ETag=f'"{sha256(MODEL[file]).hexdigest()}"', **{"X-Repo-Commit": commit})

    def send(self, content, **more: str) -> None:
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), "Content-Type": "application/json", **more}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def do_GET(self):
        match self.path.split("?")[0].strip("/").split("/"):
            case ["api", "models", "org", "wick"] | ["api", "models", "org", "wick", "revision", "main" | "aaaaaaa"]:
                return self.hub(NEWEST, None)
            case ["api", "models", "org", "wick", "revision", commit] if commit in (NEWEST, EARLIER):
                return self.hub(commit, None)
            case ["api", "models", "org", "wick", "tree", _]:
                return self.send([{"type": "file", "path": n, "size": len(c), "oid": n} for n, c in MODEL.items()])
            case ["org", "wick", "resolve", commit, *file]:
                return self.hub(commit, "/".join(file))
        if self.path == "/gone" or self.path.startswith("/api/"):
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


def test_a_full_disk_is_not_called_a_network(server):
    with pytest.raises(OSError, match="No space left"):
        _download(server + "/whole", Path("/dev/full"))


def elsewhere(folder, endpoint: str, *command: str, **more: str) -> subprocess.CompletedProcess:
    """A process of its own: the hub's client reads the environment once."""
    offline = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hub"), "NO_PROXY": "127.0.0.1"}
    given = {**os.environ, **offline, **more}
    return subprocess.run([sys.executable, *command], cwd=folder, env=given, capture_output=True, text=True)


FETCH = """
import sys
from pathlib import Path
from emflow.fetch import fetch_model
for revision in sys.argv[2:]:
    print(fetch_model(sys.argv[1], None if revision == "newest" else revision, Path(revision)))
"""


def test_a_fetched_model_says_which_commit_it_is(server, tmp_path):
    done = elsewhere(tmp_path, server, "-c", FETCH, "org/wick", "newest", EARLIER, "aaaaaaa")
    assert done.stdout.split() == [NEWEST, EARLIER, NEWEST], done.stderr
    assert [commit_of(tmp_path / name) for name in ("newest", EARLIER, "aaaaaaa")] == [NEWEST, EARLIER, NEWEST]
    assert (tmp_path / "newest/model.safetensors").read_bytes() == CONTENT
    assert (tmp_path / "newest/sub/notes.txt").exists() and not (tmp_path / "newest/pytorch_model.bin").exists()
    unknown = elsewhere(tmp_path, server, "-c", FETCH, "org/snuff", "newest")
    assert "cannot fetch the model 'org/snuff' at revision newest" in unknown.stderr


def test_without_a_network_the_hubs_cache_serves(tmp_path):
    cache = tmp_path / "hub/hub/models--org--wick"
    for name, content in MODEL.items():
        blob, link = cache / "blobs" / sha256(content).hexdigest(), cache / "snapshots" / NEWEST / name
        for file in (blob, link):
            file.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text(NEWEST)
    done = elsewhere(tmp_path, "http://127.0.0.1:1", "-c", FETCH, "org/wick", "newest", HF_HUB_OFFLINE="1")
    assert done.stdout.split() == [NEWEST], done.stderr
    assert commit_of(tmp_path / "newest") == commit_of(cache / "snapshots" / NEWEST) == NEWEST
    assert (tmp_path / "newest/model.safetensors").read_bytes() == CONTENT
    assert not (tmp_path / "newest/model.safetensors").is_symlink()
    assert not (tmp_path / "newest/pytorch_model.bin").exists()
    refused = elsewhere(tmp_path, "http://127.0.0.1:1", "-c", FETCH, "org/wick", EARLIER)
    assert f"cannot fetch the model 'org/wick' at revision {EARLIER}" in refused.stderr


def test_pin_resolves_what_a_config_leaves_open(server, tmp_path):
    study = {
        "models": {
            "wick": {"path": "org/wick", "revision": None},
            "pinned": {"path": "org/wick", "revision": EARLIER},
            "mine": {"path": "./mine"},
        },
        "methods": {"es": {"kind": "es", "reward": {"kind": "nli", "model": "org/wick"}}, "lora": {"kind": "lora"}},
        "judges": {"local": {"kind": "vllm", "path": "org/wick"}, "gpt": {"kind": "openai", "model": "x"}},
        "domains": {"bad": {"path": f"{server}/whole"}, "own": {"path": "data/own.jsonl"}},
        "question_sets": {"free": {"source": f"{server}/moved"}, "held": {"source": "validation"}},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    done = elsewhere(tmp_path, server, "-m", "emflow.cli", "pin", "study.yaml")
    assert "study.pins.yaml: put it last, as in --configfile study.yaml study.pins.yaml" in done.stderr, done.stderr
    assert yaml.safe_load((tmp_path / "study.pins.yaml").read_text()) == {
        "models": {"wick": {"revision": NEWEST}},
        "methods": {"es": {"reward": {"revision": NEWEST}}},
        "judges": {"local": {"revision": NEWEST}},
        "domains": {"bad": {"sha256": sha256(CONTENT).hexdigest()}},
        "question_sets": {"free": {"sha256": sha256(CONTENT).hexdigest()}},
    }
    again = elsewhere(tmp_path, "http://127.0.0.1:1", "-m", "emflow.cli", "pin", "study.yaml", "study.pins.yaml")
    assert "nothing to pin" in again.stderr  # and nobody is asked
    study["models"]["wick"]["path"] = "org/snuff"
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    refused = elsewhere(tmp_path, server, "-m", "emflow.cli", "pin", "study.yaml", "--out", "none.yaml")
    assert refused.stderr.startswith("error: models.wick.revision: cannot fetch the model 'org/snuff'")
    assert refused.returncode == 1 and not (tmp_path / "none.yaml").exists()
