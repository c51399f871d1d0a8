"""What the contract of all recipes must know of those that learn from codes."""

import atexit
import dataclasses
import functools
import pathlib
import tempfile
import zlib

import keras
import numpy as np
import tensorflow as tf

from models.contract import registry
from models.distillation.inputs import CACHED
from models.publishing import pushed
from models.records import kept
from models.records import scenes as scene_records
from models.understanding import codecs, inputs, scene_inputs
from models.understanding.reader import Reader
from tests.models.examples import photograph, picture_record, png, tinted, write_records

CODEC = {"channels": 4, "latents": 6, "crop_size": 64}
SIZE = 32


class Numbers:
    """As much of a `Reader` as records are made of, without a codec."""

    @staticmethod
    def write(pixels) -> tuple[tf.Tensor, tf.Tensor]:
        """No stream, and drawn latents of pixels [H, W, 3]."""
        places = (*(-(-side // 16) for side in pixels.shape[:2]), CODEC["latents"])
        return tf.constant(b"none"), tf.constant(np.random.default_rng(1).integers(-90, 91, places), tf.float32)


class Codes:
    """Classifiers of the codes of a factorized codec, which was never trained."""

    signatures = {"predict", "predict_names", "predict_streams", "encode_streams", "serving_default"}
    traced = ()
    smallest = ("width",)

    @functools.cached_property
    def codec(self) -> str:
        """The folder of the codec, written when first asked for."""
        folder = tempfile.TemporaryDirectory()
        atexit.register(folder.cleanup)
        recipe = registry.get("factorized")
        config = recipe.make_config("small", CODEC)
        keras.utils.set_random_seed(3)
        pushed.save(folder.name, recipe, config, recipe.build(config))
        return folder.name

    @functools.cached_property
    def reader(self) -> Reader:
        """What writes and reads the streams of that codec; on other backends than TensorFlow, where none is served,
        what gives whole numbers of the right shape."""
        return Reader(*pushed_codec(self.codec)) if keras.backend.backend() == "tensorflow" else Numbers()

    @functools.cached_property
    def tiny(self) -> dict:
        """Options of the smallest models."""
        return {"classes": 3, "image_size": SIZE, "batch_size": 6, "steps": 3, "steps_per_epoch": 2, "blocks": "1",
                "root_blocks": 0, "codec": self.codec,
                "codec_about": codecs.about(*codecs.described(self.codec))}  # fmt: skip

    def write(self, folder: pathlib.Path) -> dict[str, str]:
        """Records of photographs, tinted by their class, with their codes, by split."""
        return {
            split: write_records(
                folder / f"{split}.gz",
                [kept.annotated(r, self.codes_of(r)) for r in (tinted(n, f"{split} {n}") for n in range(count))],
            )
            for split, count in {"train": 12, "validation": 6}.items()
        }

    def codes_of(self, record: bytes) -> dict:
        """What is kept of a record."""
        config = registry.get("code_classifier").make_config("small", Codes.tiny.func(self))
        found = inputs.values(self.reader, tf.constant(record), config)
        return {inputs.PREFIX + name: value for name, value in found.items()}

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training, for codes of the training's size and for some of them."""
        found = [model(batch[0], training=False), model(batch[0][:, :1, :1], training=False)]
        assert found[0].shape == found[1].shape == batch[1].shape and found[0].dtype == "float32"
        return [np.array(logits) for logits in found]

    @staticmethod
    def check_answers(functions, recipe, config) -> None:
        """Pictures and streams of several sizes; the numbers of the evaluation must be those of the answers."""
        pictures = [photograph(50, 67), photograph(1, 1), photograph(SIZE, SIZE)]
        sources = tf.constant([png(p) for p in pictures])
        p = functions["predict"](image_bytes=sources)["probabilities"].numpy()
        streams = functions["encode_streams"](image_bytes=sources)["bitstream_bytes"]
        answers = functions["predict_streams"](bitstream_bytes=streams)
        q = answers["probabilities"].numpy()
        assert p.shape == q.shape == (3, config.classes) and np.allclose(q.sum(1), 1, atol=1e-5)
        np.testing.assert_allclose(p[2], q[2], rtol=1e-5)  # of the right size it is coded as it is
        assert np.array_equal(answers["class"], q.argmax(1))
        assert [n.decode() for n in answers["class_name"].numpy()] == [str(c) for c in q.argmax(1)]
        assert list(functions["predict_names"](index=tf.constant([2], tf.int64))["class_name"].numpy()) == [b"2"]
        records = [picture_record(q, label=c, label_name=str(c)) for q, c in zip(pictures, (0, 1, 9), strict=True)]
        numbers = {k: v.numpy()[:, 0] for k, v in functions["serving_default"](examples=tf.constant(records)).items()}
        assert {m.name for m in recipe.evaluation.metrics if m.aggregate == "mean"} <= set(numbers)
        assert np.array_equal(numbers["accuracy"], p.argmax(1) == (0, 1, 9))
        np.testing.assert_allclose(numbers["confidence"], p.max(1), rtol=1e-4)
        assert np.isclose(numbers["bpp"][2], 8 * len(streams.numpy()[2]) / SIZE**2)


class Taught(Codes):
    """Students of a teacher, whose answers are drawn."""

    @functools.cached_property
    def tiny(self) -> dict:
        """Options of the smallest models."""
        return super().tiny | {"cached": kept.dumps({CACHED + "logits": kept.Output("float32", (3,))})}

    def codes_of(self, record: bytes) -> dict:
        """What is kept of a record, and logits that are told by it."""
        logits = np.random.default_rng(zlib.crc32(record)).normal(size=3).astype(np.float32)
        return super().codes_of(record) | {CACHED + "logits": logits}

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training."""
        x, y = batch
        found = model(x, training=False)
        assert found["logits"].shape == y["labels"].shape == y[CACHED + "logits"].shape
        return [np.array(found[name]) for name in sorted(found)]


class Scenes(Codes):
    """Segmenters on the codes of the same codec."""

    signatures = {"segment", "segment_streams", "class_names", "encode_streams", "serving_default"}
    sides = (24, 40)

    @functools.cached_property
    def tiny(self) -> dict:
        """Options of the smallest models."""
        given = {name: super(Scenes, self).tiny[name] for name in ("codec", "codec_about", "blocks", "root_blocks")}
        return given | {
            "steps": 3,
            "steps_per_epoch": 2,
            "rates": "1,2",
            "classes": 3,
            "rows": 24,
            "columns": 40,
            "batch_size": 4,
            "views": 2,
            "flip": True,
        }

    def write(self, folder: pathlib.Path) -> dict[str, str]:
        """Records of photographs whose left is one class, a strip has none, and the rest is one of two."""
        config = registry.get("code_segmenter").make_config("small", self.tiny)
        return {
            split: write_records(
                folder / f"{split}.gz",
                [self.kept(scene_record(f"{split} {n}", n, self.sides), config) for n in range(count)],
            )
            for split, count in {"train": 6, "validation": 5}.items()
        }

    @staticmethod
    def values_of(record: bytes) -> dict:
        """What is kept in a record, by feature."""
        names = {inputs.CODES: "float32", scene_inputs.MAPS: "uint8", inputs.STREAM: "string"}
        return kept.parse(tf.constant(record), {inputs.PREFIX + n: kept.Output(t, None) for n, t in names.items()})

    def kept(self, record: bytes, config) -> bytes:
        """A record with what is kept of it."""
        found = config.values(self.reader, tf.constant(record))
        return kept.annotated(record, {inputs.PREFIX + name: value for name, value in found.items()})

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training, for codes of the training's size and for some of them."""
        found = [model(batch[0], training=False), model(batch[0][:, :1, :1], training=False)]
        assert found[0].shape == (len(batch[1]), 32, 48, 3) and found[1].shape[1:] == (16, 16, 3)
        assert batch[1].shape[1:] == (24, 40) and found[0].dtype == "float32"
        return [np.array(logits) for logits in found]

    @staticmethod
    def check_answers(functions, recipe, config) -> None:
        """Pictures and streams of several sizes have one map; the numbers of the evaluation are those of the maps."""
        sizes = [(50, 67), (1, 1), (24, 40)]
        records = [scene_record("s", n, size, 4) for n, size in enumerate(sizes)]  # four classes: one it does not know
        features = scene_records.parse(tf.constant(records))
        sources = features["image/encoded"]
        streams = functions["encode_streams"](image_bytes=sources)["bitstream_bytes"]
        maps = functions["segment_streams"](bitstream_bytes=streams)["class_map_bytes"].numpy()
        assert list(functions["segment"](image_bytes=sources)["class_map_bytes"].numpy()) == list(maps)
        assert list(functions["class_names"](index=tf.constant([2, 0], tf.int64))["class_name"].numpy()) == [b"2", b"0"]
        numbers = {k: v.numpy() for k, v in functions["serving_default"](examples=tf.constant(records)).items()}
        assert {m.name for m in recipe.evaluation.metrics if m.aggregate == "mean"} <= set(numbers)
        for n, size in enumerate(sizes):
            answer, labels = (
                scene_records.decode_map(m).numpy() for m in (maps[n], features[scene_records.LABEL_MAP][n])
            )
            assert answer.shape == labels.shape == size and answer.max() < 3
            known = labels != scene_records.VOID
            expected = np.zeros((4, 3))
            np.add.at(expected, (labels[known], answer[known]), 1)
            assert np.array_equal(numbers["confusion"][n], expected)
            right = (answer == labels)[known].mean() if known.any() else 0
            assert np.isclose(numbers["accuracy"][n, 0], right, atol=1e-6) and np.isfinite(
                numbers["cross_entropy"][n, 0]
            )
            assert np.isclose(numbers["bpp"][n, 0], 8 * len(streams.numpy()[n]) / (size[0] * size[1]), rtol=1e-5)


def untrained(name: str, options: dict) -> str:
    """A folder with a network on codes of this recipe that was never trained."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    recipe = registry.get(name)
    config = recipe.make_config("small", options | {"width": 2})
    keras.utils.set_random_seed(4)
    pushed.save(folder.name, recipe, dataclasses.replace(config, codec=""), recipe.build(config))
    return folder.name


class Joint(Codes):
    """Joint trainings, each from a classifier of codes that was never trained."""

    @functools.cached_property
    def tiny(self) -> dict:
        """Writes the classifier when first asked for."""
        return {"model": untrained("code_classifier", super().tiny), "classes": 3, "image_size": SIZE, "batch_size": 6,
                "steps": 3, "steps_per_epoch": 2, "crop": 2}  # fmt: skip

    def write(self, folder: pathlib.Path) -> dict[str, str]:
        """Records of photographs, tinted by their class, by split."""
        return {
            split: write_records(folder / f"{split}.gz", [tinted(n, f"{split} {n}") for n in range(count)])
            for split, count in {"train": 12, "validation": 6}.items()
        }

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training."""
        found = model(batch[0], training=False)
        assert found["x_hat"].shape == batch[0].shape and found["logits"].shape == batch[1].shape
        return [np.array(found[name]) for name in sorted(found)]


class JointScenes(Scenes):
    """Joint trainings, each from a segmenter of codes that was never trained."""

    @functools.cached_property
    def tiny(self) -> dict:
        """Writes the segmenter when first asked for."""
        return {"model": untrained("code_segmenter", super().tiny), "classes": 3, "rows": 32, "columns": 48,
                "batch_size": 4, "steps": 3, "steps_per_epoch": 2, "flip": True, "shift": 3}  # fmt: skip

    def write(self, folder: pathlib.Path) -> dict[str, str]:
        """Records as of segmenters, without codes."""
        return {
            split: write_records(
                folder / f"{split}.gz", [scene_record(f"{split} {n}", n, self.sides) for n in range(count)]
            )
            for split, count in {"train": 6, "validation": 5}.items()
        }

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training."""
        found = model(batch[0], training=False)
        assert found["x_hat"].shape == batch[0].shape and found["logits"].shape == (*batch[1].shape, 3)
        return [np.array(found[name]) for name in sorted(found)]


def scene_record(key: str, number: int, size: tuple[int, int], classes: int = 3) -> bytes:
    """The serialised record of a piece of a photograph with a label map: a class, a strip of void, another class."""
    label_map = np.full(size, number % classes, np.uint8)
    label_map[:, size[1] // 3 : size[1] // 2] = scene_records.VOID
    label_map[:, size[1] // 2 :] = (number + 1) % classes
    picture = tf.train.Example.FromString(picture_record(photograph(*size, 9 * number), key))
    return scene_records.scene_example(picture, label_map, [f"c{k}" for k in range(classes)]).SerializeToString()


def pushed_codec(folder: str):
    """Recipe, model and configuration of a codec without graph, as `Reader` takes them."""
    recipe, config, model = pushed.load(folder)
    return recipe, model, config
