"""What the contract of all recipes must know of each kind: a tiny configuration, records, and what signatures answer.

A new kind adds a class here and its name to `KINDS`; a new recipe of a known kind adds nothing.
"""

import atexit
import dataclasses
import functools
import io
import json
import pathlib
import tempfile

import keras
import numpy as np
import skimage.data
import skimage.metrics
import tensorflow as tf
from PIL import Image

from models.contract import registry
from models.publishing import pushed
from models.records import ecg_units
from models.training.callbacks import KeepRoute
from tests.models.aligned_kind import Aligned, FaceStudent
from tests.models.code_kind import Codes, Joint, JointScenes, Scenes, Taught
from tests.models.examples import (
    ECG_NAMES,
    heartbeat,
    pair_record,
    photograph,
    picture_record,
    png,
    recording_record,
    tinted,
    write_records,
)
from tests.models.face_kind import Face
from tests.models.selective_kind import Selective
from tests.models.video_kind import Video


class Codec:
    """Image codecs."""

    tiny = {
        "store": False,
        "channels": 8,
        "latents": 12,
        "crop_size": 64,
        "batch_size": 2,
        "steps": 3,
        "steps_per_epoch": 2,
    }
    more = {"filters": 4, "critic_channels": 4, "blocks": 1}  # of those with a critic
    plain = {"rates": 1, "quantisation": "noise"}  # of those that have these options
    signatures = {"compress", "decompress", "serving_default"}
    some_have = {"compress_at", "compress_refined", "decompress_seeded", "sample"}  # which tests of their own ask

    @staticmethod
    def write(folder: pathlib.Path) -> dict[str, str]:
        """Records of photographs, by split."""
        pieces = {"train": range(0, 160, 40), "validation": (200, 260)}
        return {
            split: write_records(
                folder / f"{split}.gz", [picture_record(photograph(72, 80, o), f"{split} {o}") for o in offsets]
            )
            for split, offsets in pieces.items()
        }

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training, for crops and for parts of them with sides that 64 does not divide."""
        found, parts = [], [] if hasattr(model.config, "code_channels") else [batch[:, :48, :16]]  # of one size
        for x in (batch, *parts):
            coded = model(x, training=False)
            assert coded["x_hat"].shape == x.shape and coded["bits"].shape == x.shape[:1]
            found += [np.array(coded["x_hat"]), np.array(coded["bits"])]
        return found

    @staticmethod
    def check_answers(functions, recipe, config) -> None:
        """Codes pictures of awkward sizes and measures them; the numbers must be those of the answers."""
        pictures = [photograph(50, 67), photograph(1, 1), photograph(16, 32)]
        sources = tf.constant([png(p) for p in pictures])
        streams = functions["compress"](image_bytes=sources)["bitstream_bytes"]
        again = functions["compress"](image_bytes=sources)["bitstream_bytes"]
        assert np.array_equal(streams, again)
        decoded = functions["decompress"](bitstream_bytes=streams)["image_bytes"].numpy()
        decoded = [np.array(Image.open(io.BytesIO(d))) for d in decoded]
        numbers = functions["serving_default"](examples=tf.constant([picture_record(p) for p in pictures]))
        assert {m.name for m in recipe.evaluation.metrics if m.aggregate == "mean"} <= set(numbers)
        assert all(v.shape[0] == 3 and v.dtype == tf.float32 for v in numbers.values())
        numbers = {k: v.numpy()[:, 0] for k, v in numbers.items() if v.shape == (3, 1)}
        for i, (picture, result) in enumerate(zip(pictures, decoded, strict=True)):
            assert result.shape == picture.shape and result.dtype == np.uint8
            assert abs(numbers["bpp"][i] - 8 * len(streams[i].numpy()) / (picture.size / 3)) < 1e-3
            if "bpsp" in numbers:  # lossless
                assert np.array_equal(picture, result) and numbers["psnr_db"][i] == 100
                assert abs(numbers["bpsp"][i] - numbers["bpp"][i] / 3) < 1e-3
                continue
            mse = np.square(picture.astype(float) - result).mean()
            psnr_db = skimage.metrics.peak_signal_noise_ratio(picture, result) if mse else 100.0
            assert abs(numbers["psnr_db"][i] - psnr_db) < 1e-2
            if "rd_cost" in numbers:
                distortion = config.lmbda * mse
                assert abs(numbers["rd_cost"][i] - numbers["bpp"][i] - distortion) < 1e-2 * max(1, distortion)
        # Longer than the model expects by header and rounding, and, as it is hardly trained, by some escapes.
        names = ("bpsp", "estimated_bpsp") if "bpsp" in numbers else ("bpp", "estimated_bpp")
        bits, expected = (numbers[k][0] * pictures[0].size / (3 if k.endswith("bpp") else 1) for k in names)
        assert 0.9 * expected < bits < 1.5 * expected + 8 * 60, (bits, expected)


class Classifier:
    """Image classifiers."""

    tiny = {"classes": 3, "image_size": 16, "batch_size": 6, "steps": 3, "steps_per_epoch": 2, "crop": 2}
    traced = ("small_cnn", "distill")  # the others' steps, of the same ops, are run one by one: tracing takes longer
    smallest = ("width", "width_percent", "depth", "growth", "last")
    signatures = {"predict", "predict_names", "serving_default"}

    @staticmethod
    def write(folder: pathlib.Path) -> dict[str, str]:
        """Records of photographs, tinted by their class, by split."""
        return {
            split: write_records(folder / f"{split}.gz", [tinted(n, f"{split} {n}") for n in range(count)])
            for split, count in {"train": 12, "validation": 6}.items()
        }

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training."""
        logits = model(batch[0], training=False)
        assert logits.shape == batch[1].shape and logits.dtype == "float32"
        return [np.array(logits)]

    @staticmethod
    def check_answers(functions, recipe, config) -> None:
        """Pictures of several sizes; the numbers of the evaluation must be those of the answers."""
        pictures = [photograph(50, 67), photograph(1, 1), photograph(16, 16)]
        answers = functions["predict"](image_bytes=tf.constant([png(p) for p in pictures]))
        p = answers["probabilities"].numpy()
        assert p.shape == (3, config.classes) and np.allclose(p.sum(1), 1, atol=1e-5)
        assert np.array_equal(answers["class"], p.argmax(1))
        assert [n.decode() for n in answers["class_name"].numpy()] == [str(c) for c in p.argmax(1)]
        assert list(functions["predict_names"](index=tf.constant([2, 0], tf.int64))["class_name"].numpy()) == [
            b"2",
            b"0",
        ]
        labels = [0, 1, 9]  # the last is none that the model knows
        records = [picture_record(q, label=c, label_name=str(c)) for q, c in zip(pictures, labels, strict=True)]
        numbers = functions["serving_default"](examples=tf.constant(records))
        assert all(v.shape == (3, 1) and v.dtype == tf.float32 for v in numbers.values())
        numbers = {k: v.numpy()[:, 0] for k, v in numbers.items()}
        assert {m.name for m in recipe.evaluation.metrics if m.aggregate == "mean"} <= set(numbers)
        np.testing.assert_allclose(numbers["confidence"], p.max(1), rtol=1e-4)
        assert np.array_equal(numbers["label"], labels)
        assert np.array_equal(numbers["accuracy"], p.argmax(1) == labels)
        assert np.array_equal(numbers["top5_accuracy"], [1, 1, 0])  # three classes
        expected = -np.log([p[0, 0], p[1, 1], 1e-7])
        np.testing.assert_allclose(numbers["cross_entropy"], expected, rtol=1e-3)


class Weighted(Classifier):
    """Classifiers whose examples are weighed, each by a policy that was searched for two steps."""

    tiny = Classifier.tiny | {"episodes": 1, "stages": 2, "search_share": 0.7, "clean_share": 0.4,
                              "classifier_settings": "width=4", "label_noise": 0.3}  # fmt: skip
    traced = ()

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training."""
        return [np.array(model(batch[0], training=False))]


class Student(Classifier):
    """Students, each with a small teacher that was never trained."""

    @functools.cached_property
    def tiny(self) -> dict:
        """Makes the teacher when first asked."""
        folder = tempfile.TemporaryDirectory()
        atexit.register(folder.cleanup)
        path = f"{folder.name}/teacher.keras"
        recipe = registry.get("small_cnn")
        keras.utils.set_random_seed(3)
        recipe.build(recipe.make_config("small", {"classes": 3, "image_size": 16, "width": 4})).save(path)
        return {k: v for k, v in Classifier.tiny.items() if k != "crop"} | {
            "teacher": path, "student": "small_cnn", "student_settings": "width=4",
            "terms": "ce + logits + hint(layer=stage2) + cckd + rkd_distance",
        }  # fmt: skip

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training."""
        found = model(batch[0], training=False)
        return [np.array(found[name]) for name in sorted(found)]


class Route(Student):
    """Students on a route; its two checkpoints were never trained."""

    @functools.cached_property
    def tiny(self) -> dict:
        """Writes the checkpoints when first asked."""
        folder = tempfile.TemporaryDirectory()
        atexit.register(folder.cleanup)
        recipe = registry.get("small_cnn")
        config = recipe.make_config("small", {"classes": 3, "image_size": 16, "width": 4})
        for epoch in (0, 1):
            keras.utils.set_random_seed(epoch)
            keep = KeepRoute(recipe, config, folder.name)
            keep.set_model(recipe.build(config))
            keep.on_epoch_end(epoch)
        return super().tiny | {"teacher": folder.name, "anchors": 1}


class Compressed(Classifier):
    """Compressions, each of a small classifier that was never trained."""

    traced = ()

    @functools.cached_property
    def tiny(self) -> dict:
        """Writes the classifier when first asked."""
        folder = tempfile.TemporaryDirectory()
        atexit.register(folder.cleanup)
        recipe = registry.get("small_cnn")
        config = recipe.make_config("small", {"classes": 3, "image_size": 16, "width": 4})
        keras.utils.set_random_seed(3)
        pushed.save(folder.name, recipe, config, recipe.build(config))
        return Classifier.tiny | {"model": folder.name, "centres": 8, "statistics": 2}

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training."""
        found = model(batch[0], training=False)
        return [np.array(found[name]) for name in sorted(found)]


class Bilinear:
    """Searches for algorithms."""

    tiny = {"restarts": 3, "batch_size": 4, "steps": 3, "steps_per_epoch": 2, "levels": 2}
    signatures = {"multiply", "serving_default"}

    @staticmethod
    def write(folder: pathlib.Path) -> dict[str, str]:
        """Records of random pairs, by split."""
        return {
            split: write_records(folder / f"{split}.gz", [pair_record(n, (4, 5, 4 + n)) for n in range(count)])
            for split, count in {"train": 8, "validation": 4}.items()
        }

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training."""
        found = model(batch[0], training=False)
        assert found.shape == (len(batch[1]), model.config.restarts, 2, 2) and found.dtype == "float32"
        return [np.array(found)]

    @staticmethod
    def check_answers(functions, recipe, config) -> None:
        """The numbers of the evaluation must be those of the answers; hardly trained, they are wrong."""
        random = np.random.default_rng(1)
        left, right = (random.standard_normal(shape, np.float32) for shape in ((5, 3), (3, 7)))
        answers = functions["multiply"](a=tf.constant([left, 2 * left]), b=tf.constant([right, right]))
        product = answers["product"].numpy()
        assert product.shape == (2, 5, 7) and np.allclose(product[1], 2 * product[0], rtol=1e-5, atol=1e-5)
        assert np.array_equal(answers["multiplications"], [7**2 * 2 * 1 * 2] * 2)  # two divisions: 2x1 by 1x2
        numbers = functions["serving_default"](examples=tf.constant([pair_record(0, (5, 3, 7), (left, right))]))
        assert {m.name for m in recipe.evaluation.metrics} <= set(numbers)
        assert all(v.shape == (1, 1) and v.dtype == tf.float32 for v in numbers.values())
        error = np.abs(product[0] - left @ right).max() / np.abs(left @ right).max()
        np.testing.assert_allclose(numbers["error"], [[error]], rtol=1e-3)
        np.testing.assert_allclose(numbers["share"], [[7**2 * 4 / (5 * 3 * 7)]], rtol=1e-5)
        assert float(numbers["exact"][0, 0]) in (0.0, 1.0)


class Dictionary:
    """Dictionaries of pictures."""

    tiny = {"image_size": 16, "channels": 3, "patch": 8, "atoms": 6, "nonzeros": 3, "sample": 24, "sweeps": 5,
            "batch_size": 8, "steps": 3, "steps_per_epoch": 2}  # fmt: skip
    signatures = {"encode", "encode_vectors", "decode", "decode_vectors", "serving_default"}
    write = staticmethod(Classifier.write)

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training."""
        found = model(batch, training=False)
        assert found["patches"].shape == batch.shape and found["weights"].shape == (len(batch), 6)
        return [np.array(found[name]) for name in ("weights", "patches")]

    @staticmethod
    def check_answers(functions, recipe, config) -> None:
        """Pictures and vectors there and back; the numbers of the evaluation must be those of the answers."""
        pictures = [photograph(50, 67), photograph(1, 1), photograph(16, 16)]
        coded = {
            k: v.numpy() for k, v in functions["encode"](image_bytes=tf.constant([png(p) for p in pictures])).items()
        }
        weights = coded["weights"]
        assert weights.shape == (3, 4, 6) and (weights >= 0).all() and ((weights > 0).sum(-1) <= 3).all()
        assert np.allclose(coded["nonzeros"], (weights > 0).sum(-1).mean(-1)) and (abs(coded["along"]) < 1e-5).all()
        decoded = functions["decode"](weights=tf.constant(weights))["picture_bytes"].numpy()
        decoded = np.stack([np.array(Image.open(io.BytesIO(d))) for d in decoded])
        mse = np.square(decoded[2] / 255.0 - pictures[2] / 255.0).mean()  # of the right size: as it is
        assert decoded.shape == (3, 16, 16, 3) and abs(-10 * np.log10(mse) - coded["psnr_db"][2]) < 1e-3
        vectors = functions["decode_vectors"](weights=tf.constant(weights))["vectors"].numpy()
        assert np.allclose(np.rint(255 * vectors[2, 0].clip(0, 1)), decoded[2, :8, :8].ravel(), atol=1)
        again = functions["encode_vectors"](vectors=tf.constant(vectors))
        assert (again["error"].numpy() < 1e-3).all()  # they are sums of three atoms
        records = [picture_record(p) for p in pictures]
        numbers = functions["serving_default"](examples=tf.constant(records))
        assert {m.name for m in recipe.evaluation.metrics} == set(numbers)
        for name, values in numbers.items():
            assert values.shape == (3, 1) and np.allclose(values[:, 0], coded[name], rtol=1e-5)


class Ecg:
    """Models of electrocardiograms."""

    names = ECG_NAMES
    tiny = {"classes": 4, "class_names": json.dumps(names), "amplitude": 0.25, "channels": 4, "growth": 2, "blocks": 2,
            "layers": 1, "batch_size": 4, "steps": 3, "steps_per_epoch": 2, "crop_seconds": 2.0}  # fmt: skip
    smallest = ("lstm_units", "lstm_layers", "hidden")
    signatures = {"predict", "predict_bytes", "predict_names", "serving_default"}

    @classmethod
    def write(cls, folder: pathlib.Path) -> dict[str, str]:
        """Records of simple heart beats, faster in each class, by split; the first has no label."""
        return {
            split: write_records(
                folder / f"{split}.gz",
                [recording_record(heartbeat(2 + n % 3, 50 + 30 * (n % 4), n), f"{split} {n}", n % 4 if n else -1)
                 for n in range(count)],
            )
            for split, count in {"train": 12, "validation": 6}.items()
        }  # fmt: skip

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training."""
        logits = model(batch[0], training=False)
        assert logits.shape == batch[1].shape and logits.dtype == "float32"
        return [np.array(logits)]

    @classmethod
    def check_answers(cls, functions, recipe, config) -> None:
        """Recordings of several lengths; the numbers of the evaluation must be those of the answers."""
        signals = [heartbeat(seconds, 70, n) for n, seconds in enumerate((1.0, 5.0, 2.51))]
        length = tf.constant([len(s) for s in signals])
        samples = tf.ragged.constant(signals).to_tensor()
        rate = tf.fill([3], float(ecg_units.RATE))
        answers = functions["predict"](samples=samples, length=length, rate=rate)
        p = answers["probabilities"].numpy()
        assert p.shape == (3, 4) and np.allclose(p.sum(1), 1, atol=1e-5)
        assert np.array_equal(answers["class"], p.argmax(1))
        assert [n.decode() for n in answers["class_name"].numpy()] == [cls.names[c] for c in p.argmax(1)]
        names = functions["predict_names"](index=tf.range(4, dtype=tf.int64))["class_name"]
        assert [n.decode() for n in names.numpy()] == list(cls.names)
        steps = [np.rint(1000 * s).astype("<i2").tobytes() for s in signals]
        again = functions["predict_bytes"](signal_bytes=tf.constant(steps), rate=rate, gain=tf.fill([3], 1000.0))
        np.testing.assert_allclose(again["probabilities"], p, atol=1e-5)
        labels = [0, 2, -1]  # the last has none
        records = [recording_record(s, label=c) for s, c in zip(signals, labels, strict=True)]
        numbers = functions["serving_default"](examples=tf.constant(records))
        assert all(v.shape == (3, 1) and v.dtype == tf.float32 for v in numbers.values())
        numbers = {k: v.numpy()[:, 0] for k, v in numbers.items()}
        assert {m.name for m in recipe.evaluation.metrics if m.aggregate == "mean"} <= set(numbers)
        fixed = [("N", "A", "O", "~").index(cls.names[c]) for c in p.argmax(1)]
        assert np.array_equal(numbers["label"], [0, 1, -1]) and np.array_equal(numbers["predicted"], fixed)
        assert np.array_equal(numbers["accuracy"], p.argmax(1) == labels)
        np.testing.assert_allclose(numbers["confidence"], p.max(1), rtol=1e-4)
        np.testing.assert_allclose(numbers["cross_entropy"], -np.log([p[0, 0], p[1, 2], 1e-7]), rtol=1e-3)


def tiny(recipe) -> dict:
    """Options of the smallest model of a recipe: its kind's, and the lower bounds of those that say its size.

    No batch is smaller than the recipe allows.
    """
    kind = KINDS[recipe.shape]
    fields = {f.name: f for f in dataclasses.fields(recipe.config)}
    lowest = {name: fields[name].metadata["low"] for name in getattr(kind, "smallest", ()) if name in fields}
    more = getattr(kind, "more", {}) if "critic_channels" in fields else {}
    found = kind.tiny | getattr(kind, "plain", {}) | more | lowest
    found = {name: value for name, value in found.items() if name in fields}
    return found | {"batch_size": max(found["batch_size"], fields["batch_size"].metadata["low"])}


KINDS = {"codec": Codec, "classifier": Classifier, "student": Student(), "route": Route(), "born_again": Student(),
         "face": Face, "aligned": Aligned(), "face_student": FaceStudent(), "weighted": Weighted,
         "compressed": Compressed(), "transformed": Ecg, "dictionary": Dictionary, "bilinear": Bilinear,
         "codes": Codes(), "scenes": Scenes(), "joint": Joint(), "joint_scenes": JointScenes(),
         "code_student": Taught(), "selective": Selective, "video": Video()}  # fmt: skip
