"""Anchors of a student for faces: from the option through the steps to the training."""

import json
import types

import keras
import pytest
from tfx.utils import path_utils

from components.training import teacher, trainer
from models.contract import registry
from models.training import loop
from models.training.callbacks import KeepRoute
from pipeline.arguments.given import pipeline_of
from tests.models.kinds import KINDS
from tests.pipeline.shapes.test_keys import MODEL, again, keys, options


class Watch(keras.callbacks.Callback):
    """Notes the teacher of every stage."""

    def __init__(self):
        super().__init__()
        self.teachers = []

    def on_train_begin(self, logs=None):
        self.teachers.append(self.model.config.teacher)


@pytest.mark.slow
def test_anchors_reach_the_training_through_the_steps(tmp_path):
    tiny = KINDS["face"].tiny | {"classes": 0, "steps": 4}
    steps = {s.id: s for s in pipeline_of(options("coupleface", anchors=2, **tiny)).components}
    told = {name: json.loads(steps[name].exec_properties["custom_config"]) for name in ("Teacher", "Trainer")}
    assert told["Teacher"]["recipe"] == "face" and told["Teacher"]["keep_route"]
    assert steps["Trainer"].inputs["base_model"].producer_component_id == "Anchors"
    files = KINDS["face_student"].write(tmp_path)
    recipe = registry.get("face")
    config = recipe.adapt(recipe.config(**told["Teacher"]["config"]), [files["train"]])
    keep = KeepRoute(recipe, config, str(tmp_path / "run" / trainer.ROUTE))
    keep.set_model(recipe.build(config))
    for epoch in range(4):  # as the Teacher's training leaves them
        keep.on_epoch_end(epoch)
    teacher.pick(str(tmp_path / "run"), str(tmp_path / "anchors"), steps["Anchors"].exec_properties["positions"])
    route = path_utils.serving_model_dir(str(tmp_path / "anchors"))
    student, own = trainer.options_of(types.SimpleNamespace(custom_config=told["Trainer"], base_model=route))
    own, watch = student.adapt(own, [files["train"]]), Watch()
    loop.train(student, own, [files["train"]], [files["validation"]], work_dir=str(tmp_path / "work"),
               log_dir=str(tmp_path / "logs"), callbacks=[watch], progress=False)  # fmt: skip
    assert watch.teachers == [f"{route}/2", f"{route}/4"]
    history = json.loads((tmp_path / "logs" / "history.json").read_text())
    assert [(entry["phase"], entry["step"]) for entry in history] == [("stage-0", 2), ("stage-1", 4)]


def test_another_number_of_anchors_is_another_training_of_the_same_teacher():
    before, after = (keys(options("coupleface", anchors=n)) for n in (2, 3))
    assert again(before, after) == {"Anchors", *MODEL}
