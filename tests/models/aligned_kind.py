"""What the contract must know of what is made of a network for faces, as `tests.models.kinds` of the others."""

import atexit
import functools
import tempfile

import keras
import numpy as np
import tensorflow as tf

from models.contract import registry
from models.faces import alignment
from models.publishing import pushed
from tests.models.examples import face_record, photograph, png
from tests.models.face_kind import Face


@functools.cache
def untrained() -> str:
    """Folder of a network that was never trained, written when first asked for."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    recipe = registry.get("face")
    config = recipe.make_config("small", Face.tiny)
    keras.utils.set_random_seed(3)
    pushed.save(folder.name, recipe, config, recipe.build(config), fingerprint="0badcafe")
    return folder.name


class FaceStudent(Face):
    """Students, each of a network that was never trained."""

    @functools.cached_property
    def tiny(self) -> dict:
        """With that network."""
        return Face.tiny | {"teacher": untrained(), "terms": "fcd + coupleface + cckd + 0.1*rkd_distance + 0.1*head"}


class Aligned(Face):
    """Alignments, each of a network for faces that was never trained."""

    @functools.cached_property
    def tiny(self) -> dict:
        """With that network."""
        return {"model": untrained(), "candidates": 3, "neighbours": 2, "duplicate": 1.0, "batch_size": 6, "steps": 3,
                "steps_per_epoch": 2}  # fmt: skip

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training."""
        found = model(batch[0], training=False)
        assert found["embedding"].shape == (len(batch[1]), 8) and found["support"].shape == (len(batch[1]), 4)
        return [np.array(found[name]) for name in sorted(found)]

    @staticmethod
    def check_answers(functions, recipe, config) -> None:
        """Pictures have one discrepancy, alone and in a batch; the aligned score is the formula's."""
        encoded = [png(p) for p in (photograph(50, 67), photograph(1, 1), photograph(16, 16))]
        batch = {k: v.numpy() for k, v in functions["embed"](image_bytes=tf.constant(encoded)).items()}
        alone = [functions["embed"](image_bytes=tf.constant([e])) for e in encoded]
        for name, values in batch.items():
            np.testing.assert_allclose(values, [one[name].numpy()[0] for one in alone], atol=1e-5)
        both = functions["verify"](first_bytes=tf.constant(encoded), second_bytes=tf.constant(encoded[::-1]))
        both = {name: value.numpy() for name, value in both.items()}
        unit, own = batch["embedding"], batch["discrepancy"]
        np.testing.assert_allclose(both["cosine"], (unit * unit[::-1]).sum(1), atol=1e-5)
        assert np.array_equal(both["same"], both["aligned"] >= both["aligned_threshold"])
        records = [face_record(photograph(16, 16, 9 * n), n, n, [(0, 0, 0)] * n) for n in range(3)]
        answers = functions["serving_default"](examples=tf.constant([*records, face_record(photograph(16, 16), 3, 0)]))
        answers = {name: value.numpy() for name, value in answers.items()}
        assert answers["support"].shape == (4, 4) and np.array_equal(
            answers["alignment"], answers["alignment"][[0] * 4]
        )
        mode, strength, average, place = answers["alignment"][0]
        form = alignment.Form(alignment.MODES[int(mode)], strength, average)
        wanted = alignment.aligned(both["cosine"], (own, 0), (own[::-1], 0), form)
        np.testing.assert_allclose(both["aligned"], wanted, atol=1e-5)
        np.testing.assert_allclose(answers["support"][3, 2 * int(place)], own[2], atol=1e-5)
