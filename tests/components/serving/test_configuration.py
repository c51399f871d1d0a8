"""The files for TensorFlow Serving, read with its own messages and played against its own rule for labels."""

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from components.serving import configuration
from components.serving.configuration import Served, ServingConfigError, Stage, next_stage
from pipeline.client.answers import _BATCH


def push(folder, *versions):
    for version in versions:
        (folder / str(version)).mkdir(parents=True)
        (folder / str(version) / "saved_model.pb").write_bytes(b"")


def parsed(path):
    return text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig())


class LabelsRefused(Exception):
    """FailedPrecondition of `ServerCore::UpdateModelVersionLabelMap`."""


class ModelServer:
    """What `ServerCore::ReloadConfig` does with a configuration: labels are checked and set, and then versions loaded.

    A label may point to a version that is not available only where the flag
    `allow_version_labels_for_unavailable_models` is set and the label is not in use for another version.
    """

    def __init__(self, flags=()):
        self._allows = "--allow_version_labels_for_unavailable_models=true" in flags
        self.labels, self.available = {}, {}

    def reload(self, config):
        labels = {}
        for model in config.model_config_list.config:
            assert model.base_path.startswith("/"), "Expected model to have an absolute path or URI"
            for label, version in model.version_labels.items():
                moves = self.labels.get((model.name, label), version) != version
                if version not in self.available.get(model.name, ()) and not (self._allows and not moves):
                    raise LabelsRefused(f"{label} of {model.name} to {version}")
                labels[model.name, label] = version
        self.labels = labels
        self.available = {
            m.name: set(m.model_version_policy.specific.versions) for m in config.model_config_list.config
        }


def written(out, *models, **more):
    """Writes a configuration; returns it as the server reads it, and the versions that it is to load first."""
    done = configuration.write_configuration(out, models, cores=4, **more)
    return parsed(out / "models.config"), done.awaited


def test_first_start_and_two_pushes_are_taken_by_the_server(tmp_path):
    folder, model = tmp_path / "resnet", Served("resnet", tmp_path / "resnet")
    push(folder, 9)
    server = ModelServer(configuration.server_flags(False))
    config, awaited = written(tmp_path, model)
    server.reload(config)
    assert server.labels == {("resnet", "canary"): 9, ("resnet", "stable"): 9} and not awaited
    for version, stable, kept in ((10, 9, {9, 10}), (11, 10, {10, 11})):
        push(folder, version)
        before = dict(server.labels)
        config, awaited = written(tmp_path, model, loaded=server.available)
        server.reload(config)
        assert server.labels == before and awaited == {"resnet": (version,)}
        assert version in server.available["resnet"]
        config, awaited = written(tmp_path, model, loaded=server.available)
        server.reload(config)
        assert server.labels == {("resnet", "canary"): version, ("resnet", "stable"): stable} and not awaited
        assert server.available == {"resnet": kept}
    ModelServer(configuration.server_flags(False)).reload(config)  # it restarts


def test_at_every_moment_a_server_may_start_anew(tmp_path):
    model = Served("resnet", tmp_path / "resnet")
    push(model.folder, 1)
    written(tmp_path, model)
    push(model.folder, 2, 3)
    config, _ = written(tmp_path, model)
    started = ModelServer(configuration.server_flags(False))
    started.reload(config)
    assert started.labels == {("resnet", "canary"): 1, ("resnet", "stable"): 1}
    assert started.available == {"resnet": {1, 2, 3}}


def test_what_was_written_before_would_be_refused(tmp_path):
    """Labels of versions that are not loaded: at a first start without the flag, and at a push in one step."""
    model = Served("resnet", tmp_path / "resnet")
    push(model.folder, 1)
    config, _ = written(tmp_path, model)
    with pytest.raises(LabelsRefused):
        ModelServer().reload(config)
    server = ModelServer(configuration.server_flags(False))
    server.reload(config)
    push(model.folder, 2)
    config, _ = written(tmp_path, model, loaded={"resnet": [1, 2]})  # which is not so
    with pytest.raises(LabelsRefused, match="canary of resnet to 2"):
        server.reload(config)


def test_labels_move_together_and_a_new_model_has_its_own():
    before = Stage((1, 2), {"canary": 2, "stable": 1})
    assert next_stage([1, 2, 3], before, [1, 2]) == Stage((1, 2, 3), before.labels)
    assert next_stage([1, 2, 3], before, [1, 2, 3]) == Stage((2, 3), {"canary": 3, "stable": 2})
    assert next_stage([1, 2], before, ()) == before
    assert next_stage([5], None, ()) == Stage((5,), {"canary": 5, "stable": 5})


def test_several_models_are_one_file(tmp_path):
    models = [Served(name, tmp_path / name, batching=True) for name in ("resnet", "small")]
    for model in models:
        push(model.folder, 3)
    (models[0].folder / "4").mkdir()  # not complete yet
    config, _ = written(tmp_path, *models)
    assert [(c.name, c.base_path, c.model_platform) for c in config.model_config_list.config] == [
        ("resnet", "/models/resnet", "tensorflow"), ("small", "/models/small", "tensorflow")
    ]  # fmt: skip
    assert all(list(c.model_version_policy.specific.versions) == [3] for c in config.model_config_list.config)


def test_batches_end_at_their_limit_and_hold_a_request_of_the_client(tmp_path):
    model = Served("resnet", tmp_path / "resnet", batching=True)
    push(model.folder, 1)
    written(tmp_path, model)
    text = (tmp_path / "batching.config").read_text()
    assert f"max_batch_size {{ value: {configuration.BATCH} }}" in text and "num_batch_threads { value: 4 }" in text
    sizes = [int(line.split()[1]) for line in text.splitlines() if "allowed_batch_sizes" in line]
    assert sizes == sorted(sizes) and sizes[0] == 1 and sizes[-1] == configuration.BATCH >= _BATCH
    assert "pad_variable" not in text
    written(tmp_path, Served("ecg", tmp_path / "resnet", batching=True, padded=True))
    assert "pad_variable_length_inputs: true" in (tmp_path / "batching.config").read_text()


def test_requests_of_several_clients_are_not_mixed_where_a_codec_is_among_the_models(tmp_path):
    models = [Served("hyperprior", tmp_path / "hyperprior"), Served("resnet", tmp_path / "resnet", batching=True)]
    for model in models:
        push(model.folder, 1)
    (tmp_path / "batching.config").write_text("of an earlier call")
    written(tmp_path, *models)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["models.config"]
    assert not [flag for flag in configuration.server_flags(False) if "batch" in flag]


def test_mistakes_are_told(tmp_path):
    with pytest.raises(ServingConfigError, match="holds no pushed model"):
        written(tmp_path, Served("none", tmp_path))
    (tmp_path / "models.config").write_text("model_config_list {")
    push(tmp_path / "resnet", 1)
    with pytest.raises(ServingConfigError, match="no configuration of TensorFlow Serving"):
        written(tmp_path, Served("resnet", tmp_path / "resnet"))
