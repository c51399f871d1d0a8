"""Outputs kept in records: every type and shape comes back as it was, beside a record that stays what it was."""

import numpy as np
import pytest
import tensorflow as tf

from models.records import kept
from models.records import pictures as picture_records
from tests.models.kinds import photograph, picture_record

VALUES = {
    "float32": np.float32([[1.5, -np.inf], [0.0, 1e-40]]),
    "float16": np.float16([0.1, -2.0]),
    "float64": np.array(np.pi),
    "int64": np.array([[-(2**62)], [3]]),
    "int8": np.int8([[[-128, 127]]]),
    "uint16": np.uint16([65535]),
    "bool": np.array([True, False]),
    "string": np.array([b"a\0", b""], object),
    "empty": np.zeros((0, 3), "float32"),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_exactly(name):
    value, plain = VALUES[name], picture_record(photograph(8, 9))
    record = kept.annotated(plain, {"m/value": value})
    outputs = {"m/value": kept.Output.of(value)}
    (found,) = kept.parse(tf.constant(record), outputs).values()
    assert found.dtype.name == outputs["m/value"].dtype and found.shape == value.shape
    np.testing.assert_array_equal(found, value)
    example = tf.train.Example.FromString(record)
    del example.features.feature["m/value"]
    assert example == tf.train.Example.FromString(plain)
    assert kept.loads(kept.dumps(outputs)) == outputs


def test_sides_that_differ_are_not_told_and_types_must_agree():
    one, other = (kept.Output.of(np.zeros((2, n, 4), "int16")) for n in (3, 5))
    assert one.common(other) == kept.Output("int16", (2, None, 4)) == one.common(other).common(one)
    records = [kept.annotated(picture_record(photograph(8, 8)), {"x": np.ones((2, n, 4), "int16")}) for n in (3, 5)]
    parsed = tf.data.Dataset.from_tensor_slices(records).map(lambda r: kept.parse(r, {"x": one.common(other)}))
    assert parsed.element_spec["x"].shape.as_list() == [2, None, 4]
    assert [p["x"].shape for p in parsed] == [(2, 3, 4), (2, 5, 4)]
    with pytest.raises(ValueError, match="int16 \\[2, 3, 4\\] and float32 \\[2, 3, 4\\]"):
        one.common(kept.Output.of(np.zeros((2, 3, 4), "float32")))
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(tf.data.Dataset.from_tensors(records[0]).map(lambda r: kept.parse(r, {"y": one})))


def test_what_is_kept_is_told_beside_the_splits(tmp_path):
    assert kept.beside([str(tmp_path / "Split-train" / "r.gz")]) == {} and kept.dumps({}) == "" and kept.loads("") == {}
    outputs = {"m/x": kept.Output("float32", (None, 3)), "m/y": kept.Output("string", ())}
    (tmp_path / kept.FILE).write_text(kept.dumps(outputs))
    files = [str(tmp_path / f"Split-{split}" / "r.gz") for split in ("train", "validation")]
    assert kept.beside(files) == outputs


class Mean(tf.Module):
    """Answers encoded pictures and records by their mean and length."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def of_pictures(self, image_bytes):
        mean = tf.map_fn(lambda e: tf.reduce_mean(tf.cast(picture_records.decode(e), tf.float32)), image_bytes,
                         fn_output_signature=tf.float32)  # fmt: skip
        return {"mean": mean}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def of_records(self, examples):
        return {"length": tf.strings.length(examples)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)])
    def of_two(self, texts, number):
        return {"x": texts}


def test_a_signature_sees_what_its_argument_names(tmp_path):
    model = Mean()
    signatures = {"pictures": model.of_pictures, "records": model.of_records, "two": model.of_two}
    tf.saved_model.save(model, str(tmp_path), signatures=signatures)
    loaded = tf.saved_model.load(str(tmp_path))
    pixels = [photograph(8, 8), photograph(4, 9, 60)]
    records = [picture_record(p) for p in pixels]
    means = kept.of_signature(loaded, "pictures")(tf.constant(records))["mean"]
    np.testing.assert_allclose(means, [p.mean() for p in pixels], rtol=1e-6)
    lengths = kept.of_signature(loaded, "records")(tf.constant(records))["length"]
    np.testing.assert_array_equal(lengths, [len(r) for r in records])
    with pytest.raises(ValueError, match="no signature 'mean'; there are pictures, records, two"):
        kept.of_signature(loaded, "mean")
    with pytest.raises(ValueError, match="wanted is one batch of strings"):
        kept.of_signature(loaded, "two")
