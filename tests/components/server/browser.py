"""A headless Chromium that a test steers, by the DevTools protocol: pages, files that are chosen, scripts."""

import asyncio
import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.request

import tornado.websocket

# KOMPAKT_CHROMIUM: where it is, if it is not on the path.
PROGRAM = os.environ.get("KOMPAKT_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


class Page:
    """A page; `errors` are the exceptions and console errors that it met."""

    def __init__(self, address: str):
        self._loop = asyncio.new_event_loop()
        self._socket = self._loop.run_until_complete(_connected(address))
        self._number, self.errors = 0, []
        for domain in ("Page", "Runtime", "DOM", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters) -> dict:
        """The result of a method of the protocol."""
        self._number += 1
        message = json.dumps({"id": self._number, "method": method, "params": parameters})
        while True:
            told = json.loads(self._loop.run_until_complete(asyncio.wait_for(self._talk(message), 60)))
            message = ""
            if told.get("method") == "Runtime.exceptionThrown":
                self.errors.append(told["params"]["exceptionDetails"])
            elif told.get("method") == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.errors.append(told["params"]["entry"])
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]

    async def _talk(self, message: str) -> str:
        if message:
            await self._socket.write_message(message)
        return await self._socket.read_message()

    def evaluate(self, script: str):
        """The value of an expression in the page."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait_for(self, script: str, timeout_s: float = 60.0):
        """The value of an expression once it is true."""
        end = time.monotonic() + timeout_s
        while not (value := self.evaluate(script)):
            assert time.monotonic() < end, (script, self.errors, self.evaluate("document.body.innerText"))
            time.sleep(0.05)
        return value

    def choose_file(self, selector: str, path: pathlib.Path) -> None:
        """Chooses a file as a person does in the dialogue."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def screenshot(self, path: pathlib.Path) -> None:
        """Writes a PNG of the whole page."""
        taken = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))


async def _connected(address: str):
    return await tornado.websocket.websocket_connect(address, max_message_size=1 << 28)


@contextlib.contextmanager
def browsing(url: str):
    """A Page with that address."""
    with tempfile.TemporaryDirectory() as profile:
        switches = ("headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run",
                    "remote-debugging-port=0", f"user-data-dir={profile}", "window-size=1000,1200")  # fmt: skip
        command = [PROGRAM, *(f"--{switch}" for switch in switches), url]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            place = pathlib.Path(profile, "DevToolsActivePort")
            while not place.is_file() or not place.read_text():
                assert process.poll() is None, "the browser has ended"
                time.sleep(0.05)
            port = place.read_text().split()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                (page,) = [p for p in json.loads(answer.read()) if p["type"] == "page"]
            yield Page(page["webSocketDebuggerUrl"])
        finally:
            process.terminate()
            process.wait(20)
