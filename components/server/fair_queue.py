"""Who is served next: as many requests at work as there are workers, a bound on those that wait, clients in turn."""

import collections
import concurrent.futures
import threading
import time
from collections.abc import Callable, Hashable

from components.server.errors import RequestError


class FairQueue:
    """Threads that work, and requests that wait for one; each client that waits has its turn, whatever another asks.

    Args:
      workers: requests at work at a time. bound: requests that may wait.
    """

    def __init__(self, workers: int, bound: int):
        self.workers, self.bound = workers, bound
        self._lines: collections.OrderedDict[Hashable, collections.deque] = collections.OrderedDict()
        self._waiting = self._working = 0
        self._changed, self._closed = threading.Condition(), False
        self._threads = [threading.Thread(target=self._work, name=f"worker-{n}", daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._waiting

    @property
    def working(self) -> int:
        """Requests at work."""
        return self._working

    @property
    def is_full(self) -> bool:
        """Whether another request would be refused."""
        return self._waiting >= self.bound

    def submit(self, client: Hashable, work: Callable, deadline: float | None = None) -> concurrent.futures.Future:
        """Has work done in its turn; a future that is cancelled before is left out.

        Args:
          client: who asks. deadline: of `time.monotonic()`, after which the work is no longer begun.

        Raises:
          RequestError: as many wait as may, or the server ends.
        """
        future: concurrent.futures.Future = concurrent.futures.Future()
        with self._changed:
            if self._closed:
                raise RequestError("UNAVAILABLE", "the server is ending")
            if self.is_full:
                raise RequestError("RESOURCE_EXHAUSTED", f"busy: {self._waiting} requests wait; ask again later")
            self._lines.setdefault(client, collections.deque()).append((future, work, deadline))
            self._waiting += 1
            self._changed.notify()
        return future

    def close(self, timeout_s: float) -> None:
        """Takes no more; what waits is worked off, at most for so many seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _next(self):
        """What is to be done now; None at the end."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._waiting:
                return None
            client, line = self._lines.popitem(last=False)
            task = line.popleft()
            if line:
                self._lines[client] = line  # behind all others
            self._waiting -= 1
            self._working += 1
            return task

    def _work(self) -> None:
        while task := self._next():
            future, work, deadline = task
            try:
                if future.set_running_or_notify_cancel():
                    if deadline is not None and time.monotonic() > deadline:
                        raise RequestError("DEADLINE_EXCEEDED", "the request waited longer than it may")
                    future.set_result(work())
            except BaseException as error:  # the worker lives on, whatever a request meets
                future.set_exception(error)
            finally:
                del task, future, work
                with self._changed:
                    self._working -= 1
