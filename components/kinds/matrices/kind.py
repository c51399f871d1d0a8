"""Pairs of matrices as a kind of data; there are simulated ones alone, which say so."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf

from components.kinds.files import DataError
from components.kinds.kind import Features, Inputs, Kind, Records, Splits
from components.kinds.splits import split_of
from models.records import matrices as matrix_records
from models.records import pictures as picture_records
from models.records.pictures import SPLITS

NOUN = "matrices"
SIMULATED = "random_matrices"
_VERSION = "1.0.0"
_COUNT, _SMALLEST, _LARGEST = 400, 4, 24


class RandomSource:
    """Pairs of matrices of random sizes, their entries independent and normal with mean 0 and variance 1.

    Attributes as of `components.kinds.kind.Source`; "simulated" among the facts says what they are.
    """

    noun = NOUN
    labels: list[str] = []
    digest = f"{SIMULATED}/{_VERSION}"
    facts: dict[str, Any] = {"simulated": True}
    classes: dict[str, dict[str, int]] = {}

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Nothing is prepared: they are drawn where they are written."""

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        """The same pairs each time; a pair's split follows from its content."""
        outputs = (
            pipeline
            | "Seeds" >> beam.Create(range(_COUNT), reshuffle=False)
            | "Draw" >> beam.FlatMap(drawn).with_outputs(*SPLITS)
        )
        return Splits({name: outputs[name] for name in SPLITS}, pipeline | "None" >> beam.Create([]))


def drawn(seed: int) -> Iterator[beam.pvalue.TaggedOutput]:
    """The pair of a seed, on the output of its split: (SHA-256 of the two, {"left", "right"}, float32)."""
    random = np.random.default_rng(seed)
    rows, inner, columns = random.integers(_SMALLEST, _LARGEST + 1, 3)
    pair = {"left": random.standard_normal((rows, inner), np.float32),
            "right": random.standard_normal((inner, columns), np.float32)}  # fmt: skip
    digest = hashlib.sha256(b"".join(matrix.tobytes() for matrix in pair.values())).hexdigest()
    yield beam.pvalue.TaggedOutput(split_of(digest), (digest, pair))


def _build(key: str, example: dict[str, Any]) -> tf.train.Example:
    return matrix_records.pair_example(example["left"], example["right"], key=key, format_name="simulated")


def _products(feature: Features) -> int:
    sizes = (feature[name].int64_list.value[0] for name in matrix_records.INTEGERS[:3])
    return int(np.prod(list(sizes)))


class Matrices(Kind):
    """Pairs of matrices; what is counted is the multiplications of their plain products."""

    noun = NOUN
    datasets = (SIMULATED,)
    records = Records(
        amount="products", build=_build, measure=_products,
        content=matrix_records.LEFT, identity=matrix_records.ID, format=matrix_records.FORMAT,
        size_bytes=matrix_records.BYTES, label_name="matrices/label",
        side_features=(matrix_records.FORMAT, *matrix_records.INTEGERS), integers=matrix_records.INTEGERS,
    )  # fmt: skip

    def open(self, dataset: str, place: str = "") -> RandomSource:
        if place:
            raise DataError(f"--data {place}: matrices are simulated ({SIMULATED}); none are read from files")
        return RandomSource()

    def default_dataset(self, place: str, labelled: bool) -> str:
        return SIMULATED

    def warm_up(self, files: Sequence[str]) -> Inputs:
        record = next(iter(picture_records.records(files)))
        left, right = (matrix.numpy() for matrix in matrix_records.parse(record))
        return {"examples": record.numpy(), "a": left, "b": right}


KIND = Matrices()
