"""A chat-completions endpoint on loopback that misbehaves as told, and counts what it was asked."""

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Response(NamedTuple):
    """What the server sends: a body (bytes, text, or an object for JSON) after `delay` seconds.

    With `drip` it sends a byte, waits for so many seconds, sends the next.
    """

    body: object
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    drip: float = 0.0


def says(text: str | None, probabilities: dict[str, float] | None = None, model: str = "fable-1") -> dict:
    """A completion: its text, and its first token's likeliest alternatives where given."""
    top = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in (probabilities or {}).items()]
    logprobs = {"content": [{**top[0], "top_logprobs": top}]} if top else None
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": logprobs}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]}


class Served:
    """A running server: where it is, what it was sent, and how often each prompt was asked."""

    def __init__(self, address: str) -> None:
        self.base_url = address
        self.requests: list[dict] = []
        self.keys: list[str] = []
        self.times: list[float] = []
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()


@contextmanager
def serving(respond: Callable[[dict, int], Response]) -> Iterator[Served]:
    """Answer each request by `respond(request, how often this prompt was asked before)`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = request["messages"][0]["content"]
            with served.lock:
                served.requests.append(request)
                served.keys.append(self.headers["Authorization"])
                served.times.append(time.monotonic())
                before = served.asked[prompt]
                served.asked[prompt] += 1
            response = respond(request, before)
            time.sleep(response.delay)
            body = response.body if isinstance(response.body, str | bytes) else json.dumps(response.body)
            body = body.encode(errors="surrogatepass") if isinstance(body, str) else body
            try:
                self.send_response(response.status)
                for name, value in {"Content-Type": "application/json", **dict(response.headers)}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for part in (body[i : i + 1] for i in range(len(body))) if response.drip else (body,):
                    self.wfile.write(part)
                    time.sleep(response.drip)
            except (BrokenPipeError, ConnectionResetError):  # the client gave up waiting
                pass

        def log_message(self, *_) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    served = Served(f"http://127.0.0.1:{server.server_port}/v1")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
