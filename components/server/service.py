"""What both interfaces of a server do with a request: wait in the queue, find the version, call, count."""

import concurrent.futures
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np

from components.server.errors import RequestError
from components.server.fair_queue import FairQueue
from components.server.metrics import Metrics
from components.server.models import Models
from components.server.version import Version

Answer = TypeVar("Answer")


class Limits(NamedTuple):
    """What a request may be.

    Attributes:
      bytes: of its content. seconds: that it may wait for its turn.
      arriving: bytes of all requests over REST that arrive or wait; with more the server is busy.
    """

    bytes: int = 64 << 20
    seconds: float = 60.0
    arriving: int = 1 << 30


class Chosen(NamedTuple):
    """Which version of a model is asked: of a number, of a label, or the newest."""

    name: str
    number: int | None = None
    label: str | None = None


class Service:
    """Models, a queue before them, and what is counted."""

    def __init__(self, models: Models, queue: FairQueue, limits: Limits):
        self.models, self.queue, self.limits = models, queue, limits
        self.arriving = 0  # bytes; of the event loop alone
        self.metrics = Metrics(queue, models)

    def predict(
        self, api: str, client: str, chosen: Chosen, read: Callable[[Version], tuple[str, dict[str, np.ndarray]]],
        write: Callable[[Version, str, dict[str, np.ndarray]], Answer], seconds: float | None = None,
    ) -> concurrent.futures.Future:  # fmt: skip
        """Has a prediction made in its turn; the future gives the answer, or raises RequestError.

        Args:
          api: name of the interface. client: who asks. chosen: what is asked.
          read: gives the signature and its inputs for a version.
          write: makes the answer of version, signature and outputs.
          seconds: that the request may wait.

        Raises:
          RequestError: it is not even taken.
        """
        begin, asked = time.perf_counter(), {"signature": ""}

        def work() -> Answer:
            with self.models.held(*chosen) as version:
                name, inputs = read(version)
                asked["signature"] = name if name in version.signatures else ""
                return write(version, name, version.call(name, inputs))

        known = self._known(chosen.name)

        def count(future: concurrent.futures.Future) -> None:
            status = "CANCELLED" if future.cancelled() else status_of(future.exception())
            self.metrics.count(api, known, asked["signature"], status, begin)

        deadline = time.monotonic() + min(self.limits.seconds, seconds or self.limits.seconds)
        try:
            future = self.queue.submit(client, work, deadline)
        except RequestError as error:
            self.refused(api, chosen.name, error, begin)
            raise
        future.add_done_callback(count)
        return future

    def refused(self, api: str, name: str, error: RequestError, begin: float) -> None:
        """Counts a request that was not taken."""
        self.metrics.count(api, self._known(name), "", error.code, begin)

    def _known(self, name: str) -> str:
        """The name of a model, "" of one that is not served: whoever asks may not fill the metrics."""
        return name if name in self.models.names else ""


def status_of(error: BaseException | None) -> str:
    """gRPC's name for how a request ended."""
    return "OK" if error is None else getattr(error, "code", "INTERNAL")
