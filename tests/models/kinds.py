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
from models.records import ecg_units
from models.records import pictures as picture_records
from models.records import recordings as ecg_records
from models.training.callbacks import KeepRoute


def photograph(height: int, width: int, offset: int = 0) -> np.ndarray:
    """A piece of a photograph, uint8 [height, width, 3]."""
    return skimage.data.astronaut()[offset : offset + height, 100 : 100 + width]


def png(pixels: np.ndarray) -> bytes:
    """Pixels, uint8 [H, W] or [H, W, C], as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def picture_record(pixels: np.ndarray, key: str = "p", **label) -> bytes:
    """The serialised record of an RGB picture, uint8 [H, W, 3]; `label` and `label_name` say its class."""
    encoded = png(pixels)
    height, width, channels = pixels.shape
    example = picture_records.image_example(
        encoded,
        key=key,
        format_name="PNG",
        height=height,
        width=width,
        channels=channels,
        size_bytes=len(encoded),
        **label,
    )
    return example.SerializeToString()


def write_records(path: pathlib.Path, records: list[bytes]) -> str:
    """Writes serialised records as ingest does; returns the path."""
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in records:
            writer.write(record)
    return str(path)


class Codec:
    """Image codecs."""

    tiny = {"channels": 8, "latents": 12, "crop_size": 64, "batch_size": 2, "steps": 3, "steps_per_epoch": 2}
    signatures = {"compress", "decompress", "serving_default"}
    some_have = {"compress_refined"}  # `test_refinement` asks it

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
        found = []
        for x in (batch, batch[:, :48, :16]):
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
        assert {m.name for m in recipe.evaluation.metrics} <= set(numbers)
        assert all(v.shape == (3, 1) and v.dtype == tf.float32 for v in numbers.values())
        numbers = {k: v.numpy()[:, 0] for k, v in numbers.items()}
        for i, (picture, result) in enumerate(zip(pictures, decoded, strict=True)):
            assert result.shape == picture.shape and result.dtype == np.uint8
            assert abs(numbers["bpp"][i] - 8 * len(streams[i].numpy()) / (picture.size / 3)) < 1e-3
            mse = np.square(picture.astype(float) - result).mean()
            assert abs(numbers["psnr_db"][i] - skimage.metrics.peak_signal_noise_ratio(picture, result)) < 1e-2
            distortion = config.lmbda * mse
            assert abs(numbers["rd_cost"][i] - numbers["bpp"][i] - distortion) < 1e-2 * max(1, distortion)
        # Longer than the model expects by header and rounding, and, as it is hardly trained, by some escapes.
        bits, expected = (numbers[k][0] * pictures[0].size / 3 for k in ("bpp", "estimated_bpp"))
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
            "teacher": path, "student_settings": "width=4",
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


class Ecg:
    """Models of electrocardiograms."""

    names = ("N", "O", "A", "~")
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


def heartbeat(seconds: float, beats: float = 70.0, seed: int = 0) -> np.ndarray:
    """A lead with narrow peaks at about so many beats a minute, and noise: float32 [T] millivolts, whole microvolts."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * ecg_units.RATE)) / ecg_units.RATE
    peaks = np.cumsum(rng.normal(60 / beats, 0.03, int(seconds * beats / 60) + 2)) - 0.3
    signal = np.exp(-np.square((times[:, None] - peaks) / 0.015)).sum(1) + rng.normal(0, 0.02, len(times))
    return np.round(signal, 3).astype("float32")


def recording_record(samples: np.ndarray, key: str = "r", label: int = -1) -> bytes:
    """The serialised record of a recording at 300 Hz, millivolts, as the Transform step leaves it."""
    example = ecg_records.recording_example(
        samples, key=key, format_name="simulated", original_rate=300, size_bytes=2 * len(samples), noise_class="clean",
        label_name=Ecg.names[label] if label >= 0 else "",
    )  # fmt: skip
    example.features.feature[ecg_records.LABEL].int64_list.value.append(label)
    example.features.feature[ecg_records.AMPLITUDE].float_list.value.append(0.25)
    return example.SerializeToString()


def tinted(n: int, key: str) -> bytes:
    """The record of a photograph in the tint of class n mod 3."""
    pixels = photograph(16, 16, 10 * n) // 2
    pixels[..., n % 3] += 100
    return picture_record(pixels, key, label=n % 3, label_name=f"tint {n % 3}")


def tiny(recipe) -> dict:
    """Options of the smallest model of a recipe: its kind's, and the lower bounds of those that say its size."""
    kind = KINDS[recipe.shape]
    fields = {f.name: f for f in dataclasses.fields(recipe.config)}
    lowest = {name: fields[name].metadata["low"] for name in getattr(kind, "smallest", ()) if name in fields}
    return kind.tiny | lowest


KINDS = {"codec": Codec, "classifier": Classifier, "student": Student(), "route": Route(), "born_again": Student(),
         "weighted": Weighted,
         "transformed": Ecg}  # fmt: skip
