"""Selective compression: no bit and no influence outside of what is preserved, and all that is needed in the stream."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from models.contract import registry
from models.contract.recipe import ConfigError
from models.entropy.coder import label_maps
from models.generative import selective_inputs
from models.generative.selective_serving import SelectivePayload, SelectiveServer
from models.records import scenes as scene_records
from tests.models.code_kind import scene_record
from tests.models.examples import photograph, png
from tests.models.selective_kind import Selective

RECIPE = registry.get("extreme_selective")
CONFIG = RECIPE.make_config("small", Selective.tiny)
SIDES = 48, 64


@pytest.fixture(scope="module")
def payload():
    config = RECIPE.make_config("small", Selective.tiny | {"part": "codec"})
    return SelectivePayload(RECIPE.build(config), config)


@pytest.fixture(scope="module")
def scene():
    """Pixels, labels, what is preserved."""
    both = selective_inputs.scene(tf.constant(scene_record("s", 1, SIDES))).numpy()
    preserved = np.zeros(SIDES, bool)
    preserved[8:24, 16:40] = True
    return both[..., :3], both[..., 3], preserved


def test_no_bit_is_spent_outside_of_the_mask(payload, scene):
    pixels, labels, preserved = scene
    sections, values = payload.encode_scene(pixels, labels, preserved)
    heat, symbols, coded = payload.parts_of(values, *map(tf.constant, SIDES))
    assert int(tf.reduce_sum(heat)) == 6 and np.array_equal(coded, labels)  # squares of 8 pixels
    assert not np.any(symbols[np.asarray(heat) == 0]) and symbols.shape == (6, 8, 2)
    size = len(sections[0].numpy())
    assert 0 < size <= 1 + math.ceil(6 * 2 * math.log2(5) / 8)
    nothing = payload.encode_scene(pixels, labels, np.zeros(SIDES, bool))[0]
    assert [len(s.numpy()) for s in nothing][0] == 0 and nothing[2] == sections[2]
    assert sections[2].numpy() == label_maps.write(tf.cast(labels, tf.int32)).numpy()
    for given in (sections, nothing):
        found, _ = payload.decode(given, *map(tf.constant, SIDES))
        expected = values if given is sections else payload.encode_scene(pixels, labels, np.zeros(SIDES, bool))[1]
        assert np.array_equal(found, expected)


def test_symbols_outside_of_the_mask_change_nothing(payload, scene):
    _, labels, _ = scene
    rng = np.random.default_rng(0)
    mask = np.zeros((1, 6, 8), "float32")
    mask[0, 1:3, 2:5] = 1
    symbols = rng.integers(0, 5, (2, 1, 6, 8, 2))
    symbols[1] = np.where(mask[..., None] > 0, symbols[0], symbols[1])
    drawn = [np.array(payload.model.draw_symbols(s.astype("int32"), mask, labels[None])) for s in symbols]
    assert np.array_equal(*drawn)
    symbols[1, 0, 1, 2] = 4 - symbols[0, 0, 1, 2] + (symbols[0, 0, 1, 2] == 2)
    inside = np.array(payload.model.draw_symbols(symbols[1].astype("int32"), mask, labels[None]))
    other = np.array(payload.model.draw_symbols(symbols[0].astype("int32"), mask, (labels[None] + 1) % 3))
    assert not np.array_equal(inside, drawn[0]) and not np.array_equal(other, drawn[0])


def test_a_picture_does_not_depend_on_the_tiles():
    config = RECIPE.make_config("small", Selective.tiny | {"part": "codec"})
    model = RECIPE.build(config)
    model.tile = 4
    payload, height, width = SelectivePayload(model, config), 208, 160
    both = selective_inputs.scene(tf.constant(scene_record("s", 1, (height, width)))).numpy()
    pixels, labels = both[..., :3], both[..., 3]
    preserved = np.zeros((height, width), bool)
    preserved[40:120, 24:136] = True
    _, values = payload.encode_scene(pixels, labels, preserved)
    sides = tf.constant(height), tf.constant(width)
    heat, symbols, _ = payload.parts_of(values, *sides)
    seen = np.array(model.symbols(pixels[None].astype("float32") / 255.0))[0]
    assert np.array_equal(symbols, seen * np.array(heat)[..., None]) and np.any(symbols)
    whole = np.array(model.draw_symbols(symbols[None], heat[None], labels[None]))[0]
    drawn = payload.draw(values, *sides, tf.constant(0)).numpy()
    assert np.abs(np.rint(255 * whole) - drawn).max() <= 1


def test_wrong_maps_are_refused(payload, scene):
    server = SelectiveServer(payload)
    pixels, labels, preserved = scene
    good = [png(pixels), png(labels), png(255 * preserved.astype(np.uint8))]
    for place, wrong, message in ((1, png(labels[1:]), "label map must have the picture's sides"),
                                  (2, png(labels[1:]), "mask must have the picture's sides"),
                                  (1, png(np.full(SIDES, 3, np.uint8)), "classes below 3")):  # fmt: skip
        given = [wrong if n == place else text for n, text in enumerate(good)]
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            server.code_scene(*map(tf.constant, given))


def test_what_is_preserved_in_training(tmp_path):
    seed = tf.constant([3, 4], tf.int64)
    boxes = [selective_inputs.box(seed + n, 8).numpy() for n in range(40)]
    for box in boxes:  # its rows times its columns
        assert np.array_equal(box, np.outer(box.max(1), box.max(0))) and box.max() == 1
    assert 0.1 < np.mean(boxes) < 0.5
    label_map = np.full((16, 16), 255, np.uint8)
    label_map[:, 8:] = 2
    found = [selective_inputs.of_classes(seed + n, tf.constant(label_map)).numpy() for n in range(80)]
    assert all(f[:, 0].max() == 0 and f[:, 1].min() == f[:, 1].max() for f in found)
    assert 0.1 < np.mean([f[0, 1] for f in found]) < 0.45
    assert selective_inputs.middle(4, 1).numpy().tolist() == [[0], [1], [1], [0]]
    files = [Selective.write(tmp_path)["train"]]
    whole = RECIPE.make_config("small", Selective.tiny | {"whole_share": 1.0})
    batch = next(iter(RECIPE.inputs(files, whole, True)))
    assert np.all(batch["mask"] == 1) and np.all(batch["labels"] == scene_records.VOID)
    batch = next(iter(RECIPE.inputs(files, CONFIG, False)))
    assert np.mean(batch["mask"]) == 0.25 and set(np.unique(batch["labels"])) <= {0, 1, 2, 255}
    adapted = RECIPE.adapt(RECIPE.make_config("small", {}), files)
    assert adapted.classes == 3 and json.loads(adapted.class_names) == ["c0", "c1", "c2"]
    with pytest.raises(ConfigError, match="classes=2: the training scenes have 3"):
        RECIPE.adapt(RECIPE.make_config("small", {"classes": 2}), files)
    with pytest.raises(ConfigError, match="noise"):
        RECIPE.make_config("small", {"noise": 1})


def test_errors_count_where_a_scene_is_preserved():
    game = RECIPE.build(CONFIG)
    x = photograph(32, 32).astype("float32")[None] / 255.0
    mask = np.zeros((1, 4, 4), "float32")
    mask[0, 1, 2:] = 1
    batch = {"picture": x, "labels": np.zeros((1, 32, 32), "int32"), "mask": mask}
    learned, inside = game.errors(batch, np.zeros_like(x))
    expected = np.square(x[0, 8:16, 16:]).mean()
    np.testing.assert_allclose([float(learned[0]), float(inside[0])], [expected / 8, expected], rtol=1e-5)
