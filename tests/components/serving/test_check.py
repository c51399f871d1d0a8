"""The serving check: what a server could not serve is refused with the reason; what it can gets warm-up requests."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tfx.types import standard_artifacts

from components.serving import check as serving_check
from components.serving import probe
from models.records import recordings as ecg_records
from tests.components import toy_model, untrained_ecg, untrained_faces
from tests.models.kinds import write_records

SIZES = [(3, 5), (40, 30), (2000, 1000)]


def artifact(kind, path):
    made = kind()
    made.uri = str(path)
    path.mkdir(exist_ok=True)
    return made


def check(tmp_path, save, write=lambda path: toy_model.write_records(path, SIZES)):
    """Runs the component's function on the model and the records that these functions write to paths.

    Returns the blessing artifact.
    """
    model = artifact(standard_artifacts.Model, tmp_path / "model")
    save(tmp_path / "model" / "Format-Serving")
    examples = artifact(standard_artifacts.Examples, tmp_path / "examples")
    examples.split_names = '["test"]'
    (tmp_path / "examples" / "Split-test").mkdir()
    write(tmp_path / "examples" / "Split-test" / "part.gz")
    blessing = artifact(standard_artifacts.InfraBlessing, tmp_path / "blessing")
    function = serving_check.ServingCheck.EXECUTOR_SPEC.executor_class._FUNCTION
    function(model=model, examples=examples, blessing=blessing, split="test")
    return blessing


def warmup(tmp_path, blessing):
    """The inputs of the warm-up request of each signature of a blessed model; all are answered."""
    assert blessing.get_string_custom_property("reason") == ""
    assert blessing.get_int_custom_property("blessed") == 1
    stamped = tmp_path / "blessing" / "stamped_model"
    served = tf.saved_model.load(str(stamped)).signatures
    path = stamped / "assets.extra" / "tf_serving_warmup_requests"
    logs = [prediction_log_pb2.PredictionLog.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
    found = {}
    for request in (log.predict_log.request for log in logs):
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        served[request.model_spec.signature_name](**inputs)
        found[request.model_spec.signature_name] = inputs
    return found


def test_good_model_is_blessed_and_carries_its_warmup(tmp_path):
    requests = warmup(tmp_path, check(tmp_path, toy_model.save))
    assert sorted(requests) == ["compress", "decompress", "serving_default"]
    # The largest picture of at most a megapixel.
    assert tf.io.decode_png(requests["compress"]["image_bytes"][0]).shape == (40, 30, 3)


def write_recordings(path, *seconds):
    """Records of signals of so many seconds, which their identities say."""
    return write_records(path, [untrained_ecg.record(untrained_ecg.signal(s), "N", str(s)) for s in seconds])


@pytest.mark.slow
def test_models_of_electrocardiograms_are_fed_the_longest_recording_of_a_minute(tmp_path):
    blessing = check(tmp_path, untrained_ecg.save, lambda path: write_recordings(path, 5, 61, 30, 9))
    requests = warmup(tmp_path, blessing)
    assert sorted(requests) == ["predict", "predict_bytes", "predict_names", "serving_default"]
    signal = untrained_ecg.signal(30)
    given = {name: value.numpy()[0] for name, value in (requests["predict"] | requests["predict_bytes"]).items()}
    np.testing.assert_allclose(given["samples"], signal, atol=1e-6)
    assert (given["length"], given["rate"], given["gain"]) == (len(signal), 300, 1000)
    assert np.array_equal(np.frombuffer(given["signal_bytes"], "<i2"), np.rint(1000 * signal))
    parsed = ecg_records.parse(requests["serving_default"]["examples"])
    assert parsed[ecg_records.ID].numpy()[0] == b"30"


def test_where_all_recordings_are_long_the_shortest_is_taken(tmp_path):
    path = write_recordings(tmp_path / "r.gz", 90, 70, 80)
    assert serving_check.inputs_of([path])["length"] == 70 * 300


def test_a_split_without_records_is_told(tmp_path):
    blessing = check(tmp_path, toy_model.save, lambda path: write_records(path, []))
    assert "no record to check with" in blessing.get_string_custom_property("reason")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [("size", "decompress: a picture of (40, 30) came back as (39, 30)"), ("infinite", "'psnr_db' is not finite")],
)
def test_wrong_answers_are_refused(tmp_path, broken, reason):
    blessing = check(tmp_path, lambda path: toy_model.save(path, broken=broken))
    assert blessing.get_int_custom_property("blessed") == 0
    assert blessing.get_int_custom_property("has_model") == 0
    assert reason in blessing.get_string_custom_property("reason")
    assert not (tmp_path / "blessing" / "stamped_model").exists()


def test_python_in_the_graph_is_refused(tmp_path):
    """A py_function runs here and in no server; it fails in a process without this one's Python objects."""

    def save(path: pathlib.Path):
        model = toy_model.ToyModel()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def compress(image_bytes):
            return {"bitstream_bytes": tf.py_function(lambda x: x, [image_bytes], tf.string)}

        tf.saved_model.save(model, str(path), signatures=model.served | {"compress": compress})

    blessing = check(tmp_path, save)
    assert blessing.get_int_custom_property("blessed") == 0
    assert blessing.get_string_custom_property("reason")


def test_signature_that_nothing_feeds_is_refused(tmp_path):
    def save(path: pathlib.Path):
        model = toy_model.ToyModel()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="riddle")])
        def answer(riddle):
            return {"answer": riddle}

        tf.saved_model.save(model, str(path), signatures=model.served | {"answer": answer})

    reason = check(tmp_path, save).get_string_custom_property("reason")
    assert "answer" in reason and "riddle" in reason


def test_packages_that_came_by_the_path_are_found_and_the_project_is_not(tmp_path):
    """-S: a Python without packages of its own, as Bazel's is."""
    toy_model.save(tmp_path / "model")
    arguments = serving_check._probe_arguments(str(tmp_path / "model"), tmp_path)
    assert arguments[0] == "-I" and len(arguments) > 4
    assert not [entry for entry in arguments[4:] if (pathlib.Path(entry) / "models").is_dir()]
    said = {}
    for name, given in {"with": arguments, "without": arguments[:4]}.items():
        for folder in ("inputs", "outputs"):
            (tmp_path / folder).mkdir(exist_ok=True)
        probe.write_input(tmp_path / "inputs", "image_bytes", b"picture")
        probe.write_input(tmp_path / "inputs", "examples", b"")
        done = subprocess.run([sys.executable, "-S", *given], capture_output=True, text=True)
        said[name] = done.stderr.strip().splitlines()[-1]
    assert said["without"] == "ModuleNotFoundError: No module named 'numpy'"
    assert said["with"].startswith("NativeError"), "TensorFlow's library was there, and refused an empty record"


@pytest.mark.slow
def test_a_network_for_faces_is_asked_for_a_pair(tmp_path):
    """Its records are pictures that say more, which decides what it is warmed up with."""
    found = warmup(tmp_path, check(tmp_path, untrained_faces.save, untrained_faces.records))
    assert set(found) == {"embed", "verify", "serving_default"}
    assert set(found["verify"]) == {"first_bytes", "second_bytes"}
