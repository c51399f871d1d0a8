"""Checks that a stock server can serve a model, before it is pushed: every signature, in a clean process, through the
loader that servers have; stock ops only.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types.standard_artifacts import Examples, InfraBlessing, Model
from tfx.utils import io_utils, path_utils

from components.artifacts import copy_within, saved_model_dir, split_files
from components.kinds import registry
from components.kinds.kind import Inputs
from components.serving.probe import batch_of_one, read_inputs, write_input
from models.contract.errors import KompaktError
from models.publishing import export
from models.records import pictures as picture_records

_PROBE = pathlib.Path(__file__).with_name("probe.py")
_OURS = pathlib.Path("components", "serving", "check.py")
_TIME_LIMIT = 1800  # seconds for all signatures together: a serial decoder on one slow core needs minutes


@component
def ServingCheck(  # noqa: N802 (TFX components are nouns)
    model: InputArtifact[Model],
    examples: InputArtifact[Examples],
    blessing: OutputArtifact[InfraBlessing],
    split: Parameter[str],
) -> None:
    """Writes the standard InfraBlessing; a blessed one carries the model with its warm-up requests for the Pusher.

    Args:
      model: the SavedModel to check. examples: where the record of the check comes from. split: of the examples.
      blessing: custom properties `blessed` and `has_model` (1 or 0), `reason` (why not); the model in `stamped_model`.
    """
    path = saved_model_dir(model)
    try:
        with tempfile.TemporaryDirectory() as work_dir:
            requests = probe(path, inputs_of(split_files([examples], split)), pathlib.Path(work_dir))
        if foreign := export.foreign_ops(path):
            raise ServingError(f"the graph holds ops that a stock server lacks: {', '.join(sorted(foreign))}")
    except ServingError as error:
        _write(blessing, "INFRA_NOT_BLESSED", blessed=0, reason=str(error))
        return
    stamped = path_utils.stamped_model_path(blessing.uri)
    copy_within(path, stamped)
    write_warmup(requests, stamped)
    _write(blessing, "INFRA_BLESSED", blessed=1, reason="")


class ServingError(KompaktError, RuntimeError):
    """A model that cannot be served; the message says why."""


def probe(model_dir: str, inputs: Inputs, work: pathlib.Path) -> list[predict_pb2.PredictRequest]:
    """Calls every signature in a new process, through TensorFlow's C library alone.

    Args:
      model_dir: SavedModel. inputs: input name -> the one element of a batch. work: an empty folder.

    Returns:
      The requests that were answered, one per signature.

    Raises:
      ServingError: the process failed, hung, or an output was wrong.
    """
    for folder in ("inputs", "outputs"):
        (work / folder).mkdir()
    for name, value in inputs.items():
        write_input(work / "inputs", name, value)
    # No accelerator: it is held by the process that trained, and a server without one must do as well.
    command = [sys.executable, *_probe_arguments(model_dir, work)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIME_LIMIT)
    except subprocess.TimeoutExpired:
        raise ServingError(f"the signatures did not answer within {_TIME_LIMIT} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise ServingError(f"{said[-1] if said else 'no message'} (exit status {done.returncode})")
    calls = json.loads((work / "calls.json").read_text(encoding="utf-8"))
    known = read_inputs(work / "inputs")
    return [_request(call, known) for call in calls]


def _probe_arguments(model_dir: str, work: pathlib.Path) -> list[str]:
    """Arguments of the Python that calls the signatures, in a process that sees nothing of this project.

    -I: no PYTHON* variables, no user site, neither the probe's folder nor the current one on the path. Packages that
    came by PYTHONPATH, as Bazel's do, are named one by one instead.
    """
    packages = [entry for entry in sys.path if entry and not (pathlib.Path(entry) / _OURS).exists()]
    return ["-I", str(_PROBE), model_dir, str(work), *packages]


def write_warmup(requests: list[predict_pb2.PredictRequest], model_dir: str) -> None:
    """Writes requests where TensorFlow Serving looks for them when it loads the model."""
    path = path_utils.warmup_file_path(model_dir)
    fileio.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())


def inputs_of(files: list[str]) -> Inputs:
    """What one record of a split gives the signatures: input name -> the one element of a batch.

    What it is a record of, its features say.

    Raises:
      ServingError: the split holds no record that some signature would take.
    """
    first = next(iter(picture_records.records(files)), None)
    features = tf.train.Example.FromString(first.numpy()).features.feature if first is not None else {}
    told = {kind: {kind.records.content, *kind.records.side_features} for kind in registry.kinds().values()}
    # A face is a picture that says more: of the kinds whose features are all there the one with the most.
    fitting = [kind for kind, names in told.items() if names <= features.keys()]
    if not fitting:
        raise ServingError("the split holds no record to check with")
    return max(fitting, key=lambda kind: len(told[kind])).warm_up(files)


def _request(call: dict, known: Inputs) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = call["signature"]
    for name, (dtype, rank) in call["inputs"].items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(batch_of_one(known[name], dtype, rank), tf.as_dtype(dtype)))
    return request


def _write(blessing, file_name: str, *, blessed: int, reason: str) -> None:
    io_utils.write_string_file(os.path.join(blessing.uri, file_name), reason)
    blessing.set_int_custom_property("blessed", blessed)
    blessing.set_int_custom_property("has_model", blessed)
    blessing.set_string_custom_property("reason", reason)
