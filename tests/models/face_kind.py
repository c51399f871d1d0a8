"""What the contract of all recipes must know of networks for faces, as `tests.models.kinds` of the others."""

import pathlib

import numpy as np
import tensorflow as tf

from tests.models.examples import face_record, photograph, picture_record, png, tinted, write_records


class Face:
    """Networks for faces; the validation's persons are not the training's."""

    tiny = {"classes": 3, "image_size": 16, "batch_size": 6, "steps": 3, "steps_per_epoch": 2, "crop": 2,
            "width_percent": 10, "depth": 1, "embedding": 8}  # fmt: skip
    signatures = {"embed", "verify", "serving_default"}

    @staticmethod
    def write(folder: pathlib.Path) -> dict[str, str]:
        """Records of photographs, tinted by their person, by split."""
        return {
            split: write_records(folder / f"{split}.gz", [tinted(n, f"{split} {n}", first) for n in range(count)])
            for split, (count, first) in {"train": (12, 0), "validation": (6, 3)}.items()
        }

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training."""
        found = model(batch[0], training=False)
        assert found["embedding"].shape == (len(batch[1]), 8) and found["logits"].shape == (len(batch[1]), 3)
        np.testing.assert_allclose(np.linalg.norm(np.array(found["embedding"]), axis=1), 1, atol=1e-5)
        return [np.array(found[name]) for name in sorted(found)]

    @staticmethod
    def check_answers(functions, recipe, config) -> None:
        """Pictures of several sizes: alone, in a batch, in pairs and as records they have one embedding."""
        pictures = [photograph(50, 67), photograph(1, 1), photograph(16, 16)]
        encoded = [png(p) for p in pictures]
        batch = functions["embed"](image_bytes=tf.constant(encoded))["embedding"].numpy()
        alone = [functions["embed"](image_bytes=tf.constant([e]))["embedding"].numpy()[0] for e in encoded]
        np.testing.assert_allclose(batch, alone, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(batch, axis=1), 1, atol=1e-5)
        both = functions["verify"](first_bytes=tf.constant(encoded), second_bytes=tf.constant(encoded[::-1]))
        both = {name: value.numpy() for name, value in both.items()}
        np.testing.assert_allclose(both["cosine"], (batch * batch[::-1]).sum(1), atol=1e-5)
        assert np.array_equal(both["same"], both["cosine"] >= both["threshold"])
        assert (both["false_accept_rate"] <= config.false_accept_rate).all() and (both["impostor_pairs"] == 12).all()
        records = [face_record(p, n, n, [(2, 1, 0), (1, 0, 3)][:n]) for n, p in enumerate(pictures)]
        answers = functions["serving_default"](examples=tf.constant([*records, picture_record(pictures[0])]))
        np.testing.assert_allclose(answers["embedding"].numpy()[:3], batch, atol=1e-5)
        assert answers["label"].numpy().tolist() == [[0], [1], [2], [-1]] == answers["number"].numpy().tolist()
        none = [-1, -1, -1]
        assert answers["pairs"].numpy()[:, :2].tolist() == [[none, none], [[2, 1, 0], none], [[2, 1, 0], [1, 0, 3]],
                                                            [none, none]]  # fmt: skip
