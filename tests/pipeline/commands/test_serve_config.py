"""What `serve-config` writes for pushed and released models, and the batches that it lets a server make."""

import numpy as np
import pytest
import tensorflow as tf
import yaml
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from components.native_model import NativeModel
from components.serving import configuration
from models.contract import registry
from models.publishing import released
from pipeline import cli
from tests.components import tiny_codec, untrained_ecg
from tests.models.kinds import KINDS


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """Folders of versions of a codec and of a model of electrocardiograms."""
    root = tmp_path_factory.mktemp("pushed")
    tiny_codec.save(root / "codec" / "1", recipe="factorized")
    untrained_ecg.save(root / "ecg" / "1")
    return root


def write(out, *arguments):
    return cli.main(["serve-config", *map(str, arguments), "--out", str(out)])


def test_the_deployment_holds_what_was_written(pushed, tmp_path, capsys):
    assert write(tmp_path, pushed / "codec", f"heart={pushed / 'ecg'}", "--cpus", 3, "--claim", "kept") == 0
    said = capsys.readouterr().out.splitlines()
    config_map, deployment, service = yaml.safe_load_all((tmp_path / "kubernetes.yaml").read_text())
    texts = {p.name: p.read_text() for p in tmp_path.iterdir() if p.suffix == ".config"}
    assert config_map["data"] == texts and set(texts) == {"models.config"}  # a codec is among them
    told = text_format.Parse(texts["models.config"], model_server_config_pb2.ModelServerConfig())
    assert [c.base_path for c in told.model_config_list.config] == ["/models/codec", "/models/heart"]

    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["args"] == configuration.server_flags(False)
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert mounts == {v["name"]: {"config": "/config", "models": "/models"}[v["name"]] for v in pod["spec"]["volumes"]}
    assert pod["spec"]["volumes"][1]["persistentVolumeClaim"]["claimName"] == "kept"
    assert container["resources"]["limits"] == container["resources"]["requests"] == {"cpu": "3", "memory": "4Gi"}
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 1800
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/codec/metadata"
    names = {port["name"] for port in container["ports"]}
    assert {container[p]["httpGet"]["port"] for p in ("startupProbe", "readinessProbe")} <= names
    assert service["spec"]["selector"] == pod["metadata"]["labels"] == deployment["spec"]["selector"]["matchLabels"]
    assert {(p["name"], p["port"]) for p in service["spec"]["ports"]} == {("grpc", 8500), ("rest", 8501)}
    (docker,) = [line for line in said if line.startswith("docker run")]
    assert f'-v "{pushed}/ecg:/models/heart:ro"' in docker and docker.endswith(
        " ".join(configuration.server_flags(False))
    )


def test_recordings_are_batched_only_when_asked(pushed, tmp_path):
    assert write(tmp_path, pushed / "ecg") == 0 and not (tmp_path / "batching.config").exists()
    assert write(tmp_path, pushed / "ecg", "--batch-recordings") == 0
    assert "pad_variable_length_inputs: true" in (tmp_path / "batching.config").read_text()


def test_padding_as_the_server_does_it_changes_no_answer(pushed):
    """`PadTensor` of its batching repeats the first value of a request's input behind it."""
    model = NativeModel(pushed / "ecg" / "1")
    signals = [untrained_ecg.signal(seconds, seed) for seed, seconds in enumerate((3, 9, 5))]
    width = max(map(len, signals))
    padded = np.stack([np.concatenate([s, np.full(width - len(s), s[0])]) for s in signals])
    length = np.array([len(s) for s in signals])
    rate = np.full(3, 300.0)
    together = model("predict", samples=padded, length=length, rate=rate)["probabilities"]
    alone = [model("predict", samples=[s], length=[len(s)], rate=[300.0])["probabilities"][0] for s in signals]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.ptp(alone, axis=0).max() > 0.01


@pytest.mark.slow
def test_a_released_model_can_be_mounted(tmp_path, monkeypatch, capsys):
    recipe = registry.get("small_cnn")
    model = recipe.build(recipe.make_config("small", KINDS["classifier"].tiny))
    released.pack(recipe, model.config, model, tmp_path / "tiny.npz")
    monkeypatch.setattr(released, "FOLDER", tmp_path)
    monkeypatch.setenv("KOMPAKT_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    assert write(out, "tiny") == 0, capsys.readouterr()
    (version,) = (out / "models" / "tiny").iterdir()
    assert f'-v "{out}/models/tiny:/models/tiny:ro"' in capsys.readouterr().out
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    logs = [prediction_log_pb2.PredictionLog.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
    served = NativeModel(version)
    for request in (log.predict_log.request for log in logs):
        served(request.model_spec.signature_name, **{k: tf.make_ndarray(v) for k, v in request.inputs.items()})
    assert {log.predict_log.request.model_spec.signature_name for log in logs} == set(served.signatures)
    assert write(out, "tiny") == 0 and list((out / "models" / "tiny").iterdir()) == [version]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent"], "absent: neither a folder nor a released model ("),
        (["PUSHED"], "pushed0: holds no pushed model"),
        (["PUSHED/codec/1"], "codec/1: is one version; a server wants the folder of versions above it"),
        (["PUSHED/codec", "codec=PUSHED/ecg"], "two models are named codec; give NAME=FOLDER"),
        (["a b=PUSHED/codec"], "a name has letters, digits"),
    ],
)
def test_mistakes_are_one_line(pushed, tmp_path, capsys, arguments, said):
    code = write(tmp_path / "out", *(a.replace("PUSHED", str(pushed)) for a in arguments))
    error = capsys.readouterr().err
    assert code == 2 and said in error and len(error.splitlines()) == 1 and not (tmp_path / "out").exists()
