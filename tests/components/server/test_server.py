"""The running server over its sockets: the answers of the models, every refusal, and pushes under load."""

import asyncio
import base64
import concurrent.futures
import http.client
import json
import pathlib
import re
import socket
import threading
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
import tornado.netutil
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from components.native_model import NativeModel
from components.server import rest
from components.server.fair_queue import FairQueue
from components.server.models import Models
from components.server.service import Limits, Service
from components.serving.served_ecg import padded
from pipeline import cli
from pipeline.client.remote import Refused, RemoteCodec, RemotePredictor, open_model
from tests.components import tiny_codec, untrained_ecg
from tests.components.server.process import serving
from tests.components.server.test_models import push
from tests.models.kinds import photograph, png

PICTURES = [png(photograph(20 + 9 * n, 30 + 5 * n)) for n in range(4)]
SCHEMES = ("http", "grpc")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    tiny_codec.save(root / "codec" / "1", 6)
    tiny_codec.save(root / "codec" / "2", 4)
    untrained_ecg.save(root / "ecg" / "1")
    return root


@pytest.fixture(scope="module")
def server(places):
    """With one worker and room for two that wait; requests of a MiB."""
    with serving(places / "codec", places / "ecg", "--workers", 1, "--queue", 2, "--max-request", 1) as running:
        yield running


def ask(url, body, method="POST"):
    """Status and JSON of an answer."""
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, content, method=method), timeout=60) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def picture_request(content=PICTURES[0], signature="compress"):
    return {"signature_name": signature, "instances": [{"image_bytes": {"b64": base64.b64encode(content).decode()}}]}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_both_interfaces_answer_as_the_models_do(server, places, scheme):
    codec, local = RemoteCodec(open_model(server.url("codec", scheme))), NativeModel(places / "codec" / "2")
    for picture in PICTURES:
        stream = codec.compress(picture)
        assert stream == local("compress", image_bytes=[picture])["bitstream_bytes"][0]
        assert codec.decompress(stream) == local("decompress", bitstream_bytes=[stream])["image_bytes"][0]
    signals = [untrained_ecg.signal(seconds, seconds) for seconds in (3, 7)]
    samples, length = padded(signals)
    rate = np.full(2, 300.0)
    expected = NativeModel(places / "ecg" / "1")("predict", samples=samples, length=length, rate=rate)["probabilities"]
    found = RemotePredictor(open_model(server.url("ecg", scheme))).best(signals, 4)
    for row, p in zip(found, expected, strict=True):
        assert [name for name, _ in row] == [untrained_ecg.NAMES[k] for k in np.argsort(-p)]
        np.testing.assert_allclose([value for _, value in row], -np.sort(-p), rtol=1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_versions_labels_and_states(server, scheme):
    streams = {
        path: RemoteCodec(open_model(server.url(f"codec{path}", scheme))).compress(PICTURES[0])
        for path in ("", "/versions/1", "/versions/2", "/labels/canary", "/labels/stable")
    }
    assert streams[""] == streams["/versions/2"] == streams["/labels/canary"] != streams["/versions/1"]
    assert streams["/labels/stable"] == streams["/versions/1"]
    assert open_model(server.url("codec", scheme)).loaded() == [1, 2]
    assert open_model(server.url("codec/versions/1", scheme)).loaded() == [1]
    taken = open_model(server.url("ecg", scheme)).signatures()
    assert set(taken["predict"]) == {"samples", "length", "rate"} and len(taken) == 4
    for path, said in (("x", "no model 'codecx'"), ("/versions/7", "version 7 of 'codec' is not loaded"),
                       ("/labels/best", "no label 'best'")):  # fmt: skip
        with pytest.raises(Refused, match=said):
            open_model(server.url(f"codec{path}", scheme)).signatures()


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("codec:predict", b"{", 400, "not JSON"),
        ("codec:predict", {"signature_name": "compress", "instances": [{"image_bytes": {"b64": "%"}}]}, 400, "input"),
        ("codec:predict", {"signature_name": "compress", "instances": [{"image_bytes": 3}]}, 400, "wants string"),
        ("codec:predict", {"signature_name": "compress", "instances": [{}]}, 400, "instance 0 has no image_bytes"),
        ("codec:predict", picture_request(b"no picture"), 400, "nknown image file format"),
        ("codec:predict", picture_request(signature="code"), 400, "no signature 'code'"),
        ("ecg:predict", {"signature_name": "predict", "instances": [{"samples": ["a"], "length": 1, "rate": 300}]}, 400,
         "wants float32, not text"),
        ("ecg:predict", {"signature_name": "predict", "instances": [{"samples": [0.0], "length": 1, "rate": 300}]}, 400,
         "shorter than 1 second"),
        ("ecg:predict", {"signature_name": "predict_names", "instances": [2**40]}, 400, ""),
        ("none:predict", picture_request(), 404, "no model 'none'"),
        ("codec/versions/9:predict", picture_request(), 404, "version 9"),
        ("codec:classify", {}, 400, "only :predict"),
        ("codec:predict", {"signature_name": "compress", "instances": ["x" * 2**21]}, 413, "larger than 1 MiB"),
        ("codec:predict", b" " * 100_000_000, 413, "larger than 1 MiB"),
        ("../../etc/passwd", {}, 404, "no such path"),
    ],
)  # fmt: skip
def test_what_is_wrong_gets_its_status_and_the_server_lives(server, path, body, status, said):
    code, answer = ask(f"{server.rest}/v1/models/{path}", body)
    assert code == status and said in answer["error"] and len(answer["error"].splitlines()) == 1
    assert ask(server.url("codec") + ":predict", picture_request())[0] == 200


def test_methods_that_there_are_not(server):
    assert ask(server.url("codec") + ":predict", None, "GET")[0] == 405
    assert ask(server.url("codec"), b"", "POST")[0] == 405


def stub(server):
    return prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(server.grpc.removeprefix("grpc://")))


def grpc_request(name="codec", signature="compress", **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(value)
    return request


def test_what_is_wrong_over_grpc(server):
    huge = tf.make_tensor_proto([0.0])
    huge.tensor_shape.dim[0].size = 2**40
    cases = (
        (grpc_request(), "INVALID_ARGUMENT", "missing inputs of 'compress': image_bytes"),
        (grpc_request(image_bytes=tf.make_tensor_proto([1.0])), "INVALID_ARGUMENT", "wants string, not float32"),
        (grpc_request(image_bytes=tf.make_tensor_proto([b"x"])), "INVALID_ARGUMENT", "nknown image file format"),
        (grpc_request(image_bytes=huge), "RESOURCE_EXHAUSTED", "more elements than a request may hold"),
        (grpc_request("none"), "NOT_FOUND", "no model 'none'"),
        (grpc_request(image_bytes=tf.make_tensor_proto([b"x" * 2**21])), "RESOURCE_EXHAUSTED", "larger than max"),
    )
    for request, status, said in cases:
        with pytest.raises(grpc.RpcError) as error:
            stub(server).Predict(request, timeout=30)
        assert error.value.code().name == status and said in error.value.details()
    filtered = grpc_request(image_bytes=tf.make_tensor_proto([PICTURES[0]]))
    filtered.output_filter.append("none")
    with pytest.raises(grpc.RpcError, match="has no outputs none; it has bitstream_bytes"):
        stub(server).Predict(filtered, timeout=30)


def slow_inputs():
    """What takes a while: half an hour of a signal at another rate."""
    samples = np.tile(untrained_ecg.signal(10, 1, 100), 170).astype(np.float32)
    return {"samples": samples[None], "length": np.array([len(samples)], np.int32), "rate": np.array([100], np.float32)}


def slow_request():
    """Them as JSON."""
    inputs = {name: value.tolist() for name, value in slow_inputs().items()}
    return json.dumps({"signature_name": "predict", "inputs": inputs}).encode()


def in_time(function, *arguments):
    """The first of what a function gives, and when."""
    return function(*arguments)[0], time.monotonic()


@pytest.mark.slow
def test_overload_is_said_at_once_and_passes(places):
    def over_grpc(request):
        try:
            return stub(server).Predict(request, timeout=60) and "OK", time.monotonic()
        except grpc.RpcError as error:
            return error.code().name, time.monotonic()

    with serving(places / "ecg", places / "codec", "--workers", 1, "--queue", 2) as server:
        request = grpc_request("ecg", "predict", **{k: tf.make_tensor_proto(v) for k, v in slow_inputs().items()})
        body = slow_request()
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            asked = [pool.submit(over_grpc, request) for _ in range(12)]
            over_rest = [pool.submit(in_time, ask, server.url("ecg") + ":predict", body) for _ in range(12)]
            ended = [future.result() for future in asked]
            codes, statuses = [code for code, _ in ended], [future.result()[0] for future in over_rest]
            ended += [future.result() for future in over_rest]
        assert set(codes) <= {"OK", "RESOURCE_EXHAUSTED"} and set(statuses) <= {200, 503}
        assert "RESOURCE_EXHAUSTED" in codes and 503 in statuses
        assert codes.count("OK") + statuses.count(200) >= 3  # at work, and those that may wait
        taken, refused = ([end for how, end in ended if (how in ("OK", 200)) == good] for good in (True, False))
        assert max(refused) < max(taken)  # who is refused is not kept waiting until there is room
        assert ask(server.url("codec") + ":predict", picture_request())[0] == 200
        with urllib.request.urlopen(f"{server.rest}/metrics") as response:
            text = response.read().decode()
        counted = re.findall(r'kompakt_requests_total\{api="(\w+)",model="(\w*)",.*status="(\w+)"\} ([\d.]+)', text)
        for api, name, count in (
            ("grpc", "OK", codes.count("OK")), ("grpc", "RESOURCE_EXHAUSTED", codes.count("RESOURCE_EXHAUSTED")),
            ("rest", "RESOURCE_EXHAUSTED", statuses.count(503)),
        ):  # fmt: skip
            assert sum(float(n) for found, _, status, n in counted if (found, status) == (api, name)) == count
        assert 'kompakt_version_available{model="codec",version="2"} 1.0' in text and "kompakt_waiting 0.0" in text
        assert server.stop() == 0  # an orderly end


def test_clients_that_are_killed_leave_the_server_as_it_was(server):
    host, port = server.rest.removeprefix("http://").split(":")
    body = slow_request()
    for sent in (len(body) // 2, len(body)):  # in the middle of the request, and of the answer
        with socket.create_connection((host, int(port))) as client:
            head = f"POST /v1/models/ecg:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body[:sent])
            client.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )  # a reset, as of a killed process
    negative = b"POST /v1/models/codec:predict HTTP/1.1\r\nContent-Length: -3\r\n\r\n"
    for content in (b"\x00\xff" * 50 + b"\r\n\r\n", b"GET / HTTP/9\r\n\r\n", negative):
        with socket.create_connection((host, int(port))) as client:
            client.sendall(content)
            client.settimeout(5)
            assert client.recv(100)[:12] in (b"", b"HTTP/1.1 400")
    call = stub(server).Predict.future(grpc_request(image_bytes=tf.make_tensor_proto([PICTURES[0]])))
    call.cancel()
    assert RemoteCodec(open_model(server.url("codec"))).compress(PICTURES[0]).startswith(tiny_codec.MAGIC)


def test_a_body_of_unknown_length_is_taken_and_bounded(server):
    host, port = server.rest.removeprefix("http://").split(":")
    body = json.dumps(picture_request()).encode()
    for content, status in ((body, 200), (b" " * 2**21, 413)):
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        blocks = (content[n : n + 1000] for n in range(0, len(content), 1000))
        connection.request("POST", "/v1/models/codec:predict", blocks, encode_chunked=True,
                           headers={"Transfer-Encoding": "chunked"})  # fmt: skip
        assert connection.getresponse().status == status
        connection.close()


@pytest.mark.slow
def test_two_pushes_under_load_lose_nothing(tmp_path):
    """Each answer is wholly that of one version, and the newest answers soon after its push."""
    folder = tmp_path / "codec"
    push(folder, 1, 2)
    expected, stop = {}, threading.Event()
    with serving(folder, "--poll", 0.1) as server:

        def load(worker):
            codec, seen = RemoteCodec(open_model(server.url("codec", SCHEMES[worker % 2]))), []
            while not stop.is_set():
                picture = PICTURES[len(seen) % len(PICTURES)]
                seen.append((picture, codec.compress(picture)))
            return seen

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            running = [pool.submit(load, n) for n in range(4)]
            try:
                for number, bits in ((2, 4), (3, 6)):
                    push(folder, number, bits)
                    server.wait_for(f"codec {number}: loaded and warm")
                server.wait_for("codec 1: unloaded")
            finally:
                stop.set()
            answers = [pair for future in running for pair in future.result()]
        for number in (1, 2, 3):
            model = NativeModel(pathlib.Path(folder, str(number)))
            for picture in PICTURES:
                expected[picture, model("compress", image_bytes=[picture])["bitstream_bytes"][0]] = number
        assert {expected[answer] for answer in answers} >= {1, 2} and len(answers) > 20
        assert open_model(server.url("codec")).loaded() == [2, 3]


def test_a_server_that_cannot_start_says_why(places, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, said in (
            ([tmp_path], f"{tmp_path}: holds no model"),
            ([places / "codec", "--rest-port", port], f"port {port} of 127.0.0.1: Address already in use"),
            (
                [places / "codec", "--rest-port", 0, "--grpc-port", port],
                f"port {port} of 127.0.0.1: cannot be listened",
            ),
            (["none"], "none: neither a folder nor a released model"),
        ):
            assert cli.main(["serve", *map(str, arguments)]) == 2
            assert said in capsys.readouterr().err.splitlines()[-1]


def test_content_that_arrives_is_bounded(places):
    """Requests that arrive hold no more than they may in all, and give it back."""
    models = Models({"codec": places / "codec"})
    models.refresh()
    service = Service(models, FairQueue(1, 8), Limits(bytes=100_000, arriving=150_000))

    async def talk():
        http_server = rest.server(service)
        (listening,) = tornado.netutil.bind_sockets(0, "127.0.0.1")
        http_server.add_sockets([listening])
        head = b"POST /v1/models/codec:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99000\r\n\r\n"
        pairs = []
        for sent in (98_000, 99_000):  # the first is begun and never ends
            pairs.append(await asyncio.open_connection(*listening.getsockname()))
            pairs[-1][1].write(head + b" " * sent)
            while service.arriving < 98_000:
                await asyncio.sleep(0.01)
        answered = await asyncio.wait_for(pairs[1][0].readline(), 10)
        for _, writer in pairs:
            writer.close()
        while service.arriving:
            await asyncio.sleep(0.01)
        http_server.stop()
        return answered

    assert asyncio.run(asyncio.wait_for(talk(), 30)) == b"HTTP/1.1 503 Service Unavailable\r\n"
