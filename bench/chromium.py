"""A headless Chromium that opens pages, runs scripts in them, and tells what they logged and asked for.

It is driven over a pair of pipes (`--remote-debugging-pipe`): messages of the DevTools protocol
(https://chromedevtools.github.io/devtools-protocol), each ended by a zero byte.
"""

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Chromium", "executable", "started"]

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--mute-audio",
)  # fmt: skip


def executable() -> str | None:
    """The path of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One tab. What a page got wrong is in `errors`, what it fetched beside itself in `requests`."""

    def __init__(self, commands: int, replies: int) -> None:
        self._commands, self._replies = commands, replies
        self._buffer, self._last, self._session = b"", 0, None
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, timeout: float = 60, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result. Raises RuntimeError where it fails, TimeoutError after so many s."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while (reply := self._message(deadline)).get("id") != self._last:
            self._note(reply)
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']['message']}")
        result: dict[str, Any] = reply["result"]
        return result

    def open(self, url: str, script: str | None = None) -> None:
        """Load a page until its `load` event; `script` runs before any of its own. Forgets what the last one logged."""
        self.call("Page.navigate", url="about:blank")
        self.errors.clear()
        self.requests.clear()
        if script:
            self.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        self.call("Page.navigate", url=url)
        self.run(
            "new Promise(done => document.readyState == 'complete' ? done() : addEventListener('load', () => done()))"
        )

    def run(self, script: str, timeout: float = 60) -> Any:
        """The value of a JavaScript expression, awaited. Raises RuntimeError where it throws."""
        found = self.call("Runtime.evaluate", timeout, expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return found["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key in whatever has the focus; `code` is its Windows virtual key code."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text)

    def _note(self, event: dict[str, Any]) -> None:
        given = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(given["exceptionDetails"].get("exception", {}).get("description") or "an exception")
            case "Runtime.consoleAPICalled" if given["type"] in ("error", "assert"):
                self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in given["args"]))
            case "Log.entryAdded" if given["entry"]["level"] == "error":
                self.errors.append(given["entry"]["text"])
            case "Network.requestWillBeSent" if given["type"] != "Document":
                self.requests.append(given["request"]["url"])

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._replies], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError("Chromium does not answer")
            data = os.read(self._replies, 2**20)
            if not data:
                raise RuntimeError("Chromium ended")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextmanager
def started() -> Iterator[Chromium]:
    """Start one, with a profile of its own. Raises RuntimeError where there is none."""
    path = executable()
    if path is None:
        raise RuntimeError(f"no Chromium: {', '.join(NAMES)} are not on the PATH")
    read_commands, commands = os.pipe()
    replies, write_replies = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # Chromium reads commands from descriptor 3 and answers on 4, whichever numbers the pipes have here
        started = f'exec "$0" "$@" 3<&{read_commands} 4>&{write_replies}'
        process = subprocess.Popen(
            ["bash", "-c", started, path, *QUIET, f"--user-data-dir={Path(profile)}", "--remote-debugging-pipe"],
            pass_fds=(read_commands, write_replies),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_replies)
        try:
            yield Chromium(commands, replies)
        finally:
            os.close(commands)  # which ends it
            os.close(replies)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
