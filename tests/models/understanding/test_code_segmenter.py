"""Scenes: what is moved together, which codes are read, and what the command and the page make of an exported model."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from components.report.section import Notes, Run
from components.report.sections import codes, scenes
from models.contract import registry
from models.contract.recipe import ConfigError
from models.records import pictures as picture_records
from models.records import scenes as scene_records
from models.understanding import scene_inputs
from tests.models.code_kind import scene_record
from tests.models.kinds import KINDS, tiny, write_records

RECIPE = registry.get("code_segmenter")
KIND = KINDS["scenes"]
VOID = scene_records.VOID


def config_of(**options):
    return RECIPE.make_config("small", tiny(RECIPE) | options)


def test_a_view_moves_both_alike():
    config = config_of(views=4, flip=True, shift=5)
    rows, columns = np.meshgrid(np.arange(24), np.arange(40), indexing="ij")
    label_map = (rows + columns).astype(np.uint8)
    pixels = np.stack([label_map, rows, columns], -1).astype(np.uint8)
    seen = set()
    for view in range(1, 40):
        p, m = (
            np.array(v) for v in scene_inputs.moved(tf.constant(pixels), tf.constant(label_map), b"k", view, config)
        )
        known = m != VOID
        assert np.array_equal(p[..., 0][known], m[known]) and not p[~known].any() and p.shape == pixels.shape
        rows_seen, columns_seen = (p[..., k][known].astype(int) for k in (1, 2))
        ys, xs = np.nonzero(known)
        down, mirrored = set(ys - rows_seen), len(set(xs + columns_seen)) == 1
        assert len(down) == 1 and abs(down.pop()) <= 5 and known.mean() > 0.6
        assert len(set(xs + columns_seen if mirrored else xs - columns_seen)) == 1
        seen.add((mirrored, int(ys[0]), int(xs[0])))
    assert len(seen) > 20 and {mirrored for mirrored, *_ in seen} == {True, False}
    again = scene_inputs.moved(tf.constant(pixels), tf.constant(label_map), b"k", 39, config)
    assert np.array_equal(again[0], p) and np.array_equal(again[1], m)


@pytest.mark.slow
def test_codes_of_every_view_are_those_of_its_stream_bit_for_bit(tmp_path):
    config = config_of(views=3, shift=4, flip=True, batch_size=2)
    records = [KIND.kept(scene_record(f"{n}", n, (30, 50)), config) for n in range(2)]
    files = [write_records(tmp_path / "r.gz", records)]
    said = [KIND.values_of(record) for record in records]
    for values in said:
        streams, codes_, maps = (values[f"codes/{name}"] for name in ("bitstream_bytes", "received", "label_map"))
        assert codes_.shape == (3, 2, 3, 6) and maps.shape == (3, 24, 40) and len(streams) == 3
        for stream, latents in zip(streams, codes_, strict=True):
            assert KIND.reader.read(stream).numpy().tobytes() == latents.numpy().tobytes()
    latents, classes = next(iter(RECIPE.inputs(files, config, False)))
    for values, x, y in zip(said, latents, classes, strict=True):
        assert np.array_equal(values["codes/received"][0], x) and set(np.unique(y)) <= {-1, 0, 1, 2}
        assert np.array_equal(np.where(y < 0, VOID, y), values["codes/label_map"][0])
    drawn = {x.numpy().tobytes() for batch, _ in RECIPE.inputs(files, config, True).take(24) for x in batch}
    assert drawn == {x.numpy().tobytes() for values in said for x in values["codes/received"]}


def test_pixels_without_a_class_teach_nothing():
    model = RECIPE.build(config_of())
    y = np.zeros((2, 24, 40), np.float32)
    y[:, :, 20:] = -1
    logits = np.random.default_rng(1).normal(size=(2, 32, 48, 3)).astype(np.float32)
    loss = float(model.compute_loss(None, y, logits))
    logits[:, :24, 20:] += 5 * np.random.default_rng(2).normal(size=(2, 24, 28, 3))
    assert float(model.compute_loss(None, y, logits)) == loss
    y[0] = -1  # a scene without a single one
    assert np.isfinite(float(model.compute_loss(None, y, logits)))


def test_adapts_to_the_scenes_and_refuses_what_does_not_fit(tmp_path):
    file = write_records(tmp_path / "r.gz", [scene_record("a", 0, (30, 50), 4)])
    found = RECIPE.adapt(dataclasses.replace(config_of(), classes=0, rows=0, columns=0), [file])
    assert (found.classes, found.sides) == (4, (30, 50)) and json.loads(found.class_names) == ["c0", "c1", "c2", "c3"]
    with pytest.raises(ConfigError, match="classes=3: the training scenes have 4"):
        RECIPE.adapt(config_of(), [file])
    for options, said in (
        ({"views": 1, "flip": True}, "several views take flip or shift"),
        ({"views": 2, "flip": False}, "several views take flip or shift"),
        ({"rates": "1,,2"}, "rates=1,,2: wanted are whole numbers"),
        ({"classes": 1}, "there is nothing to tell apart"),
    ):
        with pytest.raises(ConfigError, match=said):
            config_of(**options)


def test_the_rgb_twin_has_the_same_output_stride():
    model = RECIPE.build(config_of(rgb=True))
    assert model(np.zeros((1, 24, 40, 3), np.float32)).shape == (1, 24, 40, 3)


@pytest.mark.slow
class TestExported:
    """The model of the contract tests."""

    @pytest.fixture(scope="class")
    def model(self, trained):
        return str(trained(RECIPE.name).directory)

    def test_the_page_shows_overlays_ratios_and_costs(self, model, records):
        run = Run(RECIPE.name, {"class_names": '["a", "b", "c"]'}, model, "", [records("scenes")["validation"]], 5, "",
                  Notes())  # fmt: skip
        found = scenes.SECTION.measure(run)
        assert len(found["pictures"]) == 4 and np.shape(found["confusion"]) == (4, 3)
        labels = [scene_records.parse(r)[scene_records.LABEL_MAP] for r in picture_records.records(run.files)]
        known = sum(int((scene_records.decode_map(m).numpy() != VOID).sum()) for m in labels)
        assert np.sum(found["confusion"]) == known
        page = scenes.SECTION.render(json.loads(json.dumps(found)), {})
        assert page.count("<img") == 12 and "per cent of the row" in page
        assert "No scene was segmented" in scenes.SECTION.render(None, {})
        costs = codes.SECTION.measure(run)
        adds, ms = costs["multiply_adds"], costs["ms"]
        assert costs["sides"] == (24, 40) and costs["grid"] == (2, 3) and min(*adds.values(), *ms.values()) > 0
        # Three layers of 5x5 with 4 channels and one to 3, each at the places it comes from; normalisations on top.
        assert adds["draw"] >= 25 * (6 * 4 * 6 + 4 * 4 * 24 + 4 * 4 * 96 + 4 * 3 * 384)
        assert "2 x 3 places" in codes.SECTION.render(costs, {}) and len(codes.SECTION.rows(costs)) == 2


def test_overlays_leave_what_has_no_class():
    pixels = np.full((2, 2, 3), 100, np.uint8)
    found = scenes.overlay(pixels, np.array([[0, 1], [1, VOID]], np.uint8), 2)
    assert np.array_equal(found[1, 1], [100] * 3) and np.array_equal(found[0, 1], found[1, 0])
    assert not np.array_equal(found[0, 0], found[0, 1])
