"""Versions: when they answer, when they leave, what is not served."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import predict_pb2

from components.server.errors import RequestError
from components.server.models import Models, State
from components.server.version import Version, warmup_requests
from components.serving import check
from tests.components import tiny_codec
from tests.models.kinds import photograph, png


def array(*values):
    return np.array(values, dtype=object)


PICTURE = png(photograph(20, 30))


def push(folder, number, bits=4, warmup=PICTURE):
    """Pushes a tiny codec with a warm-up request."""
    place = tiny_codec.save(folder.parent / f"{folder.name}.part" / str(number), bits)
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = "compress"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([warmup]))
    check.write_warmup([request, request], str(place))
    folder.mkdir(exist_ok=True)
    place.rename(folder / str(number))


@pytest.fixture
def folder(tmp_path):
    push(tmp_path / "codec", 1)
    return tmp_path / "codec"


def code(models, *chosen):
    with models.find("codec", *chosen).held() as version:
        return version.call("compress", {"image_bytes": array(PICTURE)})["bitstream_bytes"][0]


def test_a_push_is_a_switch_and_the_old_one_leaves_when_its_last_user_has(folder):
    said = []
    models = Models({"codec": folder}, keep=1, tell=said.append)
    with pytest.raises(RequestError, match="no version of 'codec' is loaded"):
        models.find("codec")
    models.refresh()
    first = code(models)
    push(folder, 2, bits=6)
    assert code(models) == first
    old = models.find("codec")
    with old.held():
        models.refresh()
        assert code(models) != first and models.states("codec")[1] == State("UNLOADING")
        assert old.call("compress", {"image_bytes": array(PICTURE)})["bitstream_bytes"][0] == first
        assert not old.is_closed
    assert old.is_closed
    with pytest.raises(RequestError, match="being unloaded"), old.held():
        pass
    models.refresh()
    assert models.states("codec") == {2: State("AVAILABLE"), 1: State("END")}
    assert said == ["codec 1: loaded and warm", "codec 2: loaded and warm", "codec 1: unloaded"]


def test_labels_and_numbers(folder):
    push(folder, 3, bits=6)
    models = Models({"codec": folder})
    models.refresh()
    one, three = code(models, 1), code(models, 3)
    assert one != three
    assert (code(models), code(models, None, "canary"), code(models, None, "stable")) == (three, three, one)
    push(folder, 4, bits=2)
    models.refresh()
    assert code(models, None, "stable") == three
    for chosen, said in (((1,), "version 1 of 'codec' is not loaded; there are: 4, 3"), ((None, "best"), "no label")):
        with pytest.raises(RequestError, match=said) as error:
            code(models, *chosen)
        assert error.value.http == 404
    with pytest.raises(RequestError, match="no model 'other'; there are: codec"):
        models.find("other")


def test_what_cannot_be_loaded_or_fails_its_warm_up_is_not_switched_to(folder):
    said = []
    models = Models({"codec": folder}, tell=said.append)
    push(folder, 2, warmup=b"no picture")
    (folder / "3").mkdir()
    (folder / "3" / "saved_model.pb").write_bytes(b"damaged")
    (folder / "4").mkdir()  # not complete
    models = Models({"codec": folder}, keep=3, tell=said.append)
    models.refresh()
    models.refresh()
    assert models.find("codec").number == 1 and len(said) == 3  # no second try with the same file
    states = models.states("codec")
    assert list(states) == [3, 2, 1] and states[3].name == states[2].name == "END"
    assert "damaged" in states[3].error and states[2].error and states[1] == State("AVAILABLE")


@pytest.mark.parametrize("damage", [lambda content: content[:-3], lambda content: b"no record" + content])
def test_a_version_with_damaged_warm_up_requests_is_not_switched_to(folder, damage):
    push(folder, 2)
    path = folder / "2" / "assets.extra" / "tf_serving_warmup_requests"
    path.write_bytes(damage(path.read_bytes()))
    models = Models({"codec": folder})
    models.refresh()
    assert models.find("codec").number == 1
    assert models.states("codec")[2] == State("END", f"{path}: damaged")


def test_a_single_version_and_the_requests_of_its_warm_up(folder):
    models = Models({"codec": folder / "1"})
    models.refresh()
    assert models.find("codec").number == 1
    assert [r.model_spec.signature_name for r in warmup_requests(folder / "1")] == ["compress", "compress"]


@pytest.mark.parametrize(
    ("name", "inputs", "said"),
    [
        ("code", {}, "no signature 'code'; there are: compress, decompress, serving_default"),
        ("compress", {}, "missing inputs of 'compress': image_bytes"),
        (
            "compress",
            {"image_bytes": array(PICTURE), "more": array(b"")},
            "'compress' has no inputs more; it takes image",
        ),
        ("compress", {"image_bytes": np.zeros(2)}, "input 'image_bytes' of 'compress' wants string, not float64"),
        ("compress", {"image_bytes": array([PICTURE])}, r"wants the shape \(None,\), not \[1, 1\]"),
        ("decompress", {"bitstream_bytes": array(b"noise")}, "not a stream of this codec"),
    ],
)
def test_what_a_model_does_not_take(folder, name, inputs, said):
    with pytest.raises(RequestError, match=said) as error:
        Version(1, folder / "1").call(name, inputs)
    assert (error.value.code, error.value.http) == ("INVALID_ARGUMENT", 400)


def test_an_answer_is_that_of_the_model(folder):
    version = Version(1, folder / "1")
    stream = version.call("compress", {"image_bytes": array(PICTURE)})["bitstream_bytes"]
    decoded = version.call("decompress", {"bitstream_bytes": stream})["image_bytes"][0]
    assert np.array_equal(np.array(Image.open(io.BytesIO(decoded))), photograph(20, 30) // 16 * 16 + 8)
