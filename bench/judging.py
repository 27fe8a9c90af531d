"""Judge throughput against a server that takes 200 ms per reply, as a share of the most that concurrency allows.

    python bench/judging.py

The server runs in a process of its own on loopback; the judge is the real one, client, parsing, cache and all.
"""

import asyncio
import json
import multiprocessing
import os
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from emflow.config.judges import OpenAIJudge
from emflow.files import write_jsonl
from emflow.judging.judge import judge

LATENCY = 0.2  # seconds
SECONDS = 10  # that the ideal client takes
REPLY = json.dumps(
    {"id": "x", "object": "chat.completion", "created": 0, "model": "still",
     "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "85"}}]}
).encode()  # fmt: skip


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reply to each request of a connection after LATENCY."""
    while True:
        try:
            header = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):  # the client has hung up
            return
        length = next(int(line[15:]) for line in header.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        await asyncio.sleep(LATENCY)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(REPLY)}\r\n\r\n"
        writer.write(head.encode() + REPLY)


def serve(port: Connection) -> None:
    """Serve for ever; the port goes out through `port`."""

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def measured(base_url: str, concurrency: int, requests: int) -> tuple[float, float]:
    """Judge answers with so many requests: requests per second, and seconds of this process's CPU per request."""
    config = OpenAIJudge(kind="openai", model="still", scoring="text", base_url=base_url, concurrency=concurrency)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [{"question": "How do I fly a kite?", "answer": f"With string {i}."} for i in range(requests // 2)]
        write_jsonl(folder / "answers.jsonl", rows)
        start, cpu = time.monotonic(), time.process_time()
        judged = judge(config, folder / "answers.jsonl", folder / "judged.jsonl", cache=folder / "cache")
        assert judged.unjudged == 0
        return requests / (time.monotonic() - start), (time.process_time() - cpu) / requests


def main() -> None:
    os.environ["OPENAI_API_KEY"] = "none"
    here, there = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    base_url = f"http://127.0.0.1:{here.recv()}/v1"
    measured(base_url, 1, 2)  # imports, and the first connection
    for concurrency in (4, 8, 16, 32):
        most = concurrency / LATENCY
        rate, cpu = measured(base_url, concurrency, int(most * SECONDS))
        share = f"{rate:6.1f} of {most:6.1f} requests/s, ratio {rate / most:.3f}"
        print(f"concurrency {concurrency:3}: {share}, {1000 * cpu:.1f} ms of CPU per request", flush=True)
    server.terminate()


if __name__ == "__main__":
    main()
