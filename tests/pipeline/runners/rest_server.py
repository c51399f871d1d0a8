"""TensorFlow Serving's REST interface over a SavedModel: `:predict` with rows, and `/metadata`."""

import base64
import contextlib
import http.server
import json
import threading

import tensorflow as tf

from components.serving.served_codec import one_line


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for the signatures that are set on the class."""

    signatures: dict

    def do_GET(self):  # noqa: N802 (the library's name)
        found = {
            name: {"inputs": dict.fromkeys(call.structured_input_signature[1], {})}
            for name, call in self.signatures.items()
        }
        known = self.path == "/v1/models/tiny/metadata"
        body = {"metadata": {"signature_def": {"signature_def": found}}} if known else {"error": "no such model"}
        self._answer(200 if known else 404, body)

    def do_POST(self):  # noqa: N802 (the library's name)
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = self.signatures[request["signature_name"]]
        try:
            columns = {
                name: tf.constant([_value(row[name]) for row in request["instances"]], spec.dtype)
                for name, spec in call.structured_input_signature[1].items()
            }
            answers = {name: value.numpy().tolist() for name, value in call(**columns).items()}
        except tf.errors.OpError as error:
            self._answer(400, {"error": one_line(error)})
            return
        rows = [dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=True)]
        self._answer(200, {"predictions": rows})

    def _answer(self, status: int, body: dict) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body, default=bytes.decode).encode())

    def log_message(self, *arguments):
        """Keeps the test's output quiet."""


def _value(value):
    return base64.b64decode(value["b64"], validate=True) if isinstance(value, dict) else value


@contextlib.contextmanager
def serving(directory):
    """The URL of a server of a SavedModel on this machine."""
    model = tf.saved_model.load(str(directory))
    handler = type("OneModel", (Handler,), {"signatures": dict(model.signatures), "model": model})
    server = http.server.HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/models/tiny"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
