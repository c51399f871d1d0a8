"""TensorFlow Serving's REST interface, version 1, on Tornado."""

import asyncio
import concurrent.futures
import inspect
import json
import logging
import pathlib
import time

import tornado.httpserver
import tornado.web
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from components.server import rest_json
from components.server.errors import RequestError, invalid
from components.server.service import Chosen, Service

_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d{1,18})|/labels/([^/:]+))?"
_READ = 1 << 30  # bytes of a refused request that are read, so that the client comes to read why
_PAGE = pathlib.Path(__file__).with_name("page.html")
# Fields that hold their default are told too, as TensorFlow Serving does; protobuf 5.26 has another name for it.
_DEFAULTS_TOO = {"including_default_value_fields", "always_print_fields_with_no_presence"}
_TELL = {name: True for name in _DEFAULTS_TOO & inspect.signature(json_format.MessageToDict).parameters.keys()}


class _Handler(tornado.web.RequestHandler):
    """Answers in JSON, errors too."""

    def initialize(self, service: Service) -> None:
        self.service = service

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("Server", "kompakt")

    def write_error(self, status_code: int, **kwargs) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, RequestError):
            self.refuse(error)
            return
        self.finish(json.dumps({"error": self._reason}))

    def refuse(self, error: RequestError) -> None:
        """Answers with an error."""
        self.set_status(error.http)
        if error.http == 503:
            self.set_header("Retry-After", "1")
        self.finish(json.dumps({"error": error.message}))

    def log_exception(self, typ, value, tb) -> None:
        if not isinstance(value, RequestError | tornado.web.HTTPError):
            logging.getLogger(__name__).error("a request failed", exc_info=(typ, value, tb))


class _Missing(_Handler):
    """Answers for paths that there are not."""

    def prepare(self) -> None:
        self.refuse(RequestError("NOT_FOUND", f"no such path: {self.request.path[:200]}"))


@tornado.web.stream_request_body
class _Predict(_Handler):
    """`:predict`."""

    _task: concurrent.futures.Future | None = None
    _refusal: RequestError | None = None
    _held = 0  # bytes that count as arriving

    def prepare(self) -> None:
        self._content, self._begin = bytearray(), time.perf_counter()
        length = self.request.headers.get("Content-Length", "0")
        if length.isdecimal() and int(length) > self.service.limits.bytes:
            self._too_large()
        elif self.service.queue.is_full:
            self._busy()

    def data_received(self, chunk: bytes) -> None:
        if self._refusal:
            return  # read all the same: a client that is still sending would see a reset, and not the reason
        self._content += chunk
        self._held += len(chunk)
        self.service.arriving += len(chunk)
        if len(self._content) > self.service.limits.bytes:
            self._too_large()
        elif self.service.arriving > self.service.limits.arriving:
            self._busy()

    def on_finish(self) -> None:
        self._content = bytearray()
        self.service.arriving -= self._held
        self._held = 0

    def _busy(self) -> None:
        self._refuse_later(RequestError("RESOURCE_EXHAUSTED", "busy: ask again later"))

    def _too_large(self) -> None:
        limit = self.service.limits.bytes / 2**20
        self._refuse_later(RequestError("RESOURCE_EXHAUSTED", f"the request is larger than {limit:g} MiB", http=413))

    def _refuse_later(self, error: RequestError) -> None:
        self._refusal = error
        self.on_finish()

    async def post(self, name: str, number: str | None, label: str | None) -> None:
        if self._refusal:
            self.service.refused("rest", name, self._refusal, self._begin)
            raise self._refusal
        content, asked = bytes(self._content), {}
        self._content = bytearray()

        def read(version):
            asked["question"] = question = rest_json.question(rest_json.parse(content), version)
            return question.signature, question.inputs

        def write(version, signature, outputs):
            return rest_json.answer(outputs, asked["question"].in_rows)

        chosen = Chosen(name, int(number) if number else None, label)
        self._task = self.service.predict("rest", self.request.remote_ip, chosen, read, write)
        try:
            self.finish(await asyncio.wrap_future(self._task))
        except asyncio.CancelledError:
            pass  # the client has gone

    def on_connection_close(self) -> None:
        self.on_finish()
        if self._task is not None:
            self._task.cancel()


class _Status(_Handler):
    """The states of a model's versions."""

    def get(self, name: str, number: str | None, label: str | None) -> None:
        models = self.service.models
        states = models.states(name)
        if number or label:
            wanted = models.find(name, None, label).number if label else int(number)
            if wanted not in states:
                raise RequestError("NOT_FOUND", f"no version {wanted} of '{name}'")
            states = {wanted: states[wanted]}
        rows = [
            {"version": str(n), "state": state.name,
             "status": {"error_code": "UNKNOWN" if state.error else "OK", "error_message": state.error}}
            for n, state in states.items()
        ]  # fmt: skip
        self.finish(json.dumps({"model_version_status": rows}))


class _Metadata(_Handler):
    """The signatures of a model."""

    def get(self, name: str, number: str | None, label: str | None) -> None:
        version = self.service.models.find(name, int(number) if number else None, label)
        found = get_model_metadata_pb2.SignatureDefMap()
        for key, signature in version.signatures.items():
            found.signature_def[key].CopyFrom(signature)
        told = json_format.MessageToDict(found, preserving_proto_field_name=True, **_TELL)
        spec = {"name": name, "signature_name": "", "version": str(version.number)}
        self.finish(json.dumps({"model_spec": spec, "metadata": {"signature_def": told}}))


class _Metrics(_Handler):
    """For Prometheus."""

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self.service.metrics.text())


class _Overview(_Handler):
    """What the page shows: models, their versions and signatures, latencies."""

    def get(self) -> None:
        models = {}
        for name in self.service.models.names:
            states = self.service.models.states(name)
            try:
                version = self.service.models.find(name)
                takes = {key: sorted(signature.inputs) for key, signature in version.signatures.items()}
            except RequestError:
                takes = {}
            rows = [{"version": str(n), "state": s.name, "error": s.error} for n, s in states.items()]
            models[name] = {"versions": rows, "signatures": takes}
        queue = self.service.queue
        told = {"working": queue.working, "waiting": queue.waiting, "workers": queue.workers, "bound": queue.bound}
        self.finish(json.dumps({"models": models, "latencies": self.service.metrics.latencies(), "queue": told}))


class _Page(_Handler):
    """The page for people."""

    def get(self) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(_PAGE.read_bytes())


class _Unsupported(_Handler):
    """`:classify` and `:regress`, which take tf.Examples of their own kind."""

    def post(self, *_) -> None:
        raise invalid("only :predict is served")


def server(service: Service) -> tornado.httpserver.HTTPServer:
    """The HTTP server; it listens when it is told to, in the event loop of the thread that tells it."""
    given = {"service": service}
    routes = [
        (_MODEL + ":predict", _Predict),
        (_MODEL + ":(?:classify|regress)", _Unsupported),
        (_MODEL + "/metadata", _Metadata),
        (_MODEL, _Status),
        ("/v1/models", _Overview),
        ("/metrics", _Metrics),
        ("/monitoring/prometheus/metrics", _Metrics),
        ("/", _Page),
    ]
    application = tornado.web.Application(
        [(pattern, handler, given) for pattern, handler in routes],
        default_handler_class=_Missing, default_handler_args=given, log_function=lambda handler: None,
    )  # fmt: skip
    return tornado.httpserver.HTTPServer(
        application, max_body_size=max(_READ, service.limits.bytes), idle_connection_timeout=60, body_timeout=600
    )
