"""The command `serve` in a process of its own, as users run it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time


class Server:
    """A running server.

    Attributes:
      rest, grpc: "http://HOST:PORT" and "grpc://HOST:PORT". lines: what it has said.
    """

    def __init__(self, *arguments, rest_port: int = 0, grpc_port: int = 0):
        command = [sys.executable, "-m", "pipeline", "serve", *map(str, arguments), "--rest-port", str(rest_port),
                   "--grpc-port", str(grpc_port)]  # fmt: skip
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self.lines: list[str] = []
        self._heard = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()
        ready = self.wait_for(r"ready: (http://[\d.:]+) .* (grpc://[\d.:]+)")
        self.rest, self.grpc = ready.groups()

    def _listen(self) -> None:
        for line in self.process.stderr:
            with self._heard:
                self.lines.append(line.rstrip())
                self._heard.notify_all()
        with self._heard:
            self.lines.append("(end)")
            self._heard.notify_all()

    def wait_for(self, pattern: str, timeout_s: float = 120.0) -> re.Match:
        """The first line that has it; fails if the server ends before."""
        end = time.monotonic() + timeout_s
        with self._heard:
            while True:
                for line in self.lines:
                    if found := re.search(pattern, line):
                        return found
                assert "(end)" not in self.lines and time.monotonic() < end, self.lines
                self._heard.wait(1.0)

    def url(self, name: str, scheme: str = "http") -> str:
        """Of a model."""
        return f"{self.rest if scheme == 'http' else self.grpc}/v1/models/{name}"

    def memory(self) -> int:
        """Bytes that it holds."""
        with open(f"/proc/{self.process.pid}/smaps_rollup") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Ends it; returns its exit code."""
        self.process.send_signal(how)
        code = self.process.wait(60)
        self.process.stderr.close() if how == signal.SIGKILL else None
        return code


@contextlib.contextmanager
def serving(*arguments, **ports):
    """A server that runs while the block does."""
    server = Server(*arguments, **ports)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
