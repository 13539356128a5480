"""Firefox without a window, driven by the protocol that it brings along (Marionette): Playwright drives its own builds only."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("firefox-esr") or shutil.which("firefox")
PREFERENCES = {
    # No network: what the page asks for beside itself fails.
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
}


class Firefox:
    """One window.

    Parameters
    ----------
    port : int
        Where Marionette listens.
    """

    def __init__(self, port: int) -> None:
        self._number = 0
        until = time.monotonic() + 90
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
                break
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
        self._stream = self._socket.makefile("rb")
        self._read()
        self.call("WebDriver:NewSession", {})

    def _read(self) -> Any:
        length = b""
        while (character := self._stream.read(1)) != b":":
            assert character, "Firefox ended"
            length += character
        return json.loads(self._stream.read(int(length)))

    def call(self, command: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(f"{len(message)}:".encode() + message)
        _, number, error, result = self._read()
        assert number == self._number
        assert error is None, error
        return result.get("value") if isinstance(result, dict) else result

    def open(self, address: str) -> None:
        self.call("WebDriver:Navigate", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns, in the page."""
        return self.call("WebDriver:ExecuteScript", {"script": script, "args": list(arguments)})

    def wait(self, condition: str) -> None:
        """Until a JavaScript expression holds."""
        until = time.monotonic() + 30
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < until, condition
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        found = self.call("WebDriver:FindElement", {"using": "css selector", "value": selector})
        self.call("WebDriver:ElementClick", {"id": next(iter(found.values()))})

    def press(self, selector: str, keys: str) -> None:
        found = self.call("WebDriver:FindElement", {"using": "css selector", "value": selector})
        self.call("WebDriver:ElementSendKeys", {"id": next(iter(found.values())), "text": keys})


@contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """A browser with a profile of its own in a folder; it ends with the block."""
    assert PROGRAM
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = {**PREFERENCES, "marionette.port": port}
    (folder / "user.js").write_text(
        "".join(f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in lines.items())
    )
    command = [PROGRAM, "--headless", "--marionette", "--no-remote", "--profile", str(folder)]
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "MOZ_HEADLESS": "1"}
    program = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Firefox(port)
    finally:
        program.terminate()
        try:
            program.wait(20)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
