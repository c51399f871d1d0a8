"""The step that brings a pushed classifier of codes."""

import pathlib

import pytest
from tfx.types.standard_artifacts import Model
from tfx.utils import path_utils

from components import given
from components.training import pair
from models.contract import registry
from models.contract.recipe import ConfigError
from models.publishing import pushed
from tests.models.kinds import tiny


def test_what_it_is_built_from_is_copied_and_a_change_is_noticed(tmp_path):
    path, model = tiny(registry.get("joint_codes"))["model"], Model()
    model.uri = str(tmp_path / "1")
    step = pair.GivenPair.EXECUTOR_SPEC.executor_class._FUNCTION
    step(model=model, path=path, recipe="code_classifier", content=given.content_of(path))
    copied = path_utils.serving_model_dir(model.uri)
    assert given.content_of(copied) == given.content_of(path) != ""
    assert {p.name for p in (pathlib.Path(copied) / pushed.EXTRA).iterdir()} == {pushed.ABOUT, pushed.WEIGHTS}
    model.uri = str(tmp_path / "2")
    with pytest.raises(ConfigError, match="changed while the pipeline started; run it again"):
        step(model=model, path=path, recipe="code_classifier", content="0" * 16)
    with pytest.raises(ConfigError, match="code_classifier; wanted is a pushed code_segmenter"):
        step(model=model, path=path, recipe="code_segmenter", content="")
    assert not (tmp_path / "2").exists()
