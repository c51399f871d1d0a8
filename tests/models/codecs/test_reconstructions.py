"""Reconstructions in TensorBoard: what the callback of a codec's recipe is given is what it draws."""

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import IMAGES, TENSORS, EventAccumulator

from models.codecs.reconstructions import Reconstructions, side_by_side
from models.contract import registry
from models.contract.training import Files
from tests.models.kinds import tiny

RECIPE = registry.get("factorized")


def test_every_fifth_epoch_shows_pictures_beside_what_became_of_them(records, tmp_path):
    config = RECIPE.make_config("small", tiny(RECIPE))
    model = RECIPE.build(config)
    files = Files([], [records("codec")["validation"]], str(tmp_path), str(tmp_path))
    (drawing,) = RECIPE.callbacks(model, config, files)
    drawing.set_model(model)
    for epoch in range(7):
        drawing.on_epoch_end(epoch)
    events = EventAccumulator(str(tmp_path / "validation"), {IMAGES: 0, TENSORS: 0}).Reload()
    shown = events.Tensors("reconstructions")
    assert [event.step for event in shown] == [0, 5]
    width, height, first, *_ = shown[0].tensor_proto.string_val
    x = next(iter(RECIPE.inputs(files.validation, config, False)))
    expected = np.array(side_by_side(model, x)[0])
    assert (int(width), int(height)) == expected.shape[1::-1] and np.array_equal(expected[:, : x.shape[2]], x[0])
    assert np.abs(tf.io.decode_png(first).numpy() / 255.0 - expected).max() < 0.01


def test_without_validation_nothing_is_drawn(records, tmp_path):
    config = RECIPE.make_config("small", tiny(RECIPE))
    drawing = Reconstructions(config, Files([], [records("codec")["validation"]], str(tmp_path), str(tmp_path)))
    drawing.batch = None
    drawing.on_epoch_end(0)
    assert not list(tmp_path.iterdir())
