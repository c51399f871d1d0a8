"""The files for TensorFlow Serving, read with its own messages."""

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from pipeline.runners import serving


def push(folder, *versions):
    for version in versions:
        (folder / str(version)).mkdir(parents=True)
        (folder / str(version) / "saved_model.pb").write_bytes(b"")


def labels(folder):
    models, _ = serving.write_configuration(folder, "resnet", batching=True)
    (config,) = text_format.Parse(
        models.read_text(), model_server_config_pb2.ModelServerConfig()
    ).model_config_list.config
    assert (config.name, config.base_path, config.model_platform) == ("resnet", str(folder), "tensorflow")
    assert set(config.version_labels.values()) == set(config.model_version_policy.specific.versions)
    return dict(config.version_labels)


def test_newest_is_canary_and_the_one_before_is_stable(tmp_path):
    folder = tmp_path / "serving" / "resnet"
    push(folder, 9)
    assert labels(folder) == {"canary": 9, "stable": 9}
    push(folder, 10, 11)
    (folder / "12").mkdir()  # Not complete yet.
    assert labels(folder) == {"canary": 11, "stable": 10}
    assert sorted(p.name for p in folder.parent.iterdir() if p.is_file()) == [
        "resnet.batching.config",
        "resnet.models.config",
    ]


def test_batches_end_at_their_limit(tmp_path):
    folder = tmp_path / "resnet"
    push(folder, 1)
    _, batching = serving.write_configuration(folder, "resnet", batching=True)
    text = batching.read_text()
    assert "max_batch_size { value: 8 }" in text
    assert [line.split()[1] for line in text.splitlines() if "allowed_batch_sizes" in line][-1] == "8"


def test_without_a_model_there_is_nothing_to_serve(tmp_path):
    with pytest.raises(FileNotFoundError, match="no pushed model"):
        serving.write_configuration(tmp_path, "hyperprior", batching=False)


def test_requests_of_several_clients_are_not_mixed_for_a_codec(tmp_path):
    folder = tmp_path / "hyperprior"
    push(folder, 1)
    (tmp_path / "hyperprior.batching.config").write_text("of an earlier version")
    (models,) = serving.write_configuration(folder, "hyperprior", batching=False)
    assert [p for p in tmp_path.iterdir() if p.is_file()] == [models]
