"""The schedule of a quantiser's hardness: its sign, its bounds, and a training under it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers.vector_quantizer import VectorQuantizer
from models.training.annealing import Anneal, aimed_gap, next_sigma


def test_sigma_rises_where_the_gap_lags_and_falls_where_it_leads():
    assert next_sigma(5.0, 1.0, gap=0.9, aimed=0.5, gain=10.0) == pytest.approx(9.0)
    assert next_sigma(5.0, 1.0, gap=0.4, aimed=0.5, gain=10.0) == pytest.approx(4.0)


def test_sigma_stays_between_its_first_value_and_the_largest():
    assert next_sigma(5.0, 4.0, gap=-3.0, aimed=0.5, gain=10.0) == 4.0
    assert next_sigma(5.0, 4.0, gap=1e9, aimed=0.5, gain=10.0) == 1e6


def test_half_of_the_first_gap_is_aimed_at_after_the_horizon():
    assert [aimed_gap(2.0, t, 100.0) for t in (0, 100, 900)] == pytest.approx([2.0, 1.0, 0.2])


class Toy(keras.Model):
    """Learns to draw what it quantises; its hard and soft losses are known at any time."""

    def __init__(self):
        super().__init__()
        self.quantizer = VectorQuantizer(4, 2, sigma=1.0)
        self.draw = keras.layers.Dense(4)

    def call(self, x, training=None):
        return self.draw(self.quantizer(x, training=training))


@pytest.fixture
def fitted():
    def train(**kwargs):
        keras.utils.set_random_seed(1)
        model, x = Toy(), np.random.default_rng(1).normal(0, 1, (64, 4)).astype("float32")
        model(x)
        model.compile("adam", "mse")

        def gap():
            mse = [float(np.mean(np.square(model(x, training=t) - x))) for t in (False, True)]
            return mse[0] - mse[1]

        schedule = Anneal([model.quantizer], 60, every=5, **{"gap": gap} | kwargs)
        batches = tf.data.Dataset.from_tensors((x, x)).repeat()
        model.fit(batches, epochs=6, steps_per_epoch=10, verbose=0, callbacks=[schedule])
        return model, schedule

    return train


def test_the_gap_follows_the_schedule(fitted):
    model, schedule = fitted(horizon=5.0, gain=30.0)
    assert len(schedule.gaps) == 12 and float(model.quantizer.sigma) > 3.0
    fixed, without = fitted(horizon=5.0, gain=0.0)
    assert float(fixed.quantizer.sigma) == 1.0
    assert schedule.gaps[-1][1] < 0.5 * without.gaps[-1][1]


def test_a_geometric_schedule_ends_at_its_ratio_and_goes_on_where_it_was(fitted):
    model, schedule = fitted(gap=None, ratio=50.0)
    assert float(model.quantizer.sigma) == pytest.approx(50.0, rel=1e-4)
    schedule.on_train_begin()
    assert schedule.step == 60 and schedule.least == 1.0


def test_dead_centres_are_reseeded_in_the_first_third_alone(fitted):
    asked = []

    def samples():
        asked.append(1)
        return np.random.default_rng(1).normal(0, 1, (64, 2))

    fitted(samples=samples)
    assert len(asked) == 4
