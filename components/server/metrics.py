"""What a server counts, in Prometheus' format and, for its page, as numbers."""

import collections
import threading
import time

import prometheus_client

_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)  # seconds
_LAST = 1000  # requests of a signature whose latencies are kept


class Metrics:
    """Requests, their latencies, and what the server holds.

    Args:
      queue: a FairQueue. models: Models.
    """

    def __init__(self, queue, models):
        self._registry = prometheus_client.CollectorRegistry()
        self._requests = prometheus_client.Counter(
            "kompakt_requests",
            "Requests by status of gRPC.",
            ("model", "signature", "api", "status"),
            registry=self._registry,
        )
        self._latency = prometheus_client.Histogram(
            "kompakt_latency_seconds", "From a request to its answer.", ("model", "signature"), buckets=_BUCKETS,
            registry=self._registry,
        )  # fmt: skip
        for name, told, value in (
            ("kompakt_waiting", "Requests that wait.", lambda: queue.waiting),
            ("kompakt_working", "Requests at work.", lambda: queue.working),
        ):
            prometheus_client.Gauge(name, told, registry=self._registry).set_function(value)
        self._models = models
        self._versions = prometheus_client.Gauge(
            "kompakt_version_available", "1 where a version answers.", ("model", "version"), registry=self._registry
        )
        self._last: dict = collections.defaultdict(lambda: collections.deque(maxlen=_LAST))
        self._lock = threading.Lock()

    def count(self, api: str, model: str, signature: str, status: str, begin: float) -> None:
        """Counts a request that began at `time.perf_counter()`; names that the server does not know are to be ""."""
        seconds = time.perf_counter() - begin
        self._requests.labels(model, signature, api, status).inc()
        if status == "OK":
            self._latency.labels(model, signature).observe(seconds)
            with self._lock:
                self._last[model, signature].append(seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        self._versions.clear()
        for name in self._models.names:
            for number, state in self._models.states(name).items():
                self._versions.labels(name, str(number)).set(state.name == "AVAILABLE")
        return prometheus_client.generate_latest(self._registry)

    def latencies(self) -> list[dict]:
        """Median, 95th and 99th percentile of the last requests of each signature, in milliseconds."""
        with self._lock:
            kept = {key: sorted(values) for key, values in self._last.items()}
        return [
            {"model": model, "signature": signature, "requests": len(values)}
            | {f"p{p}": round(1000 * values[min(len(values) - 1, len(values) * p // 100)], 1) for p in (50, 95, 99)}
            for (model, signature), values in sorted(kept.items())
        ]
