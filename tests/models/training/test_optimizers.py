"""Optimizers: several of them in one training each do their own part, and a state file holds them all."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from models.training import loop
from models.training.optimizers import Group, Optimizers, frozen
from tests.models.training import game

RECIPE = game.RECIPE_OF_TESTS


class Watch(keras.callbacks.Callback):
    """Notes the weights before each step; a kill after so many epochs."""

    def __init__(self, kill_after: int = 0):
        super().__init__()
        self.kill_after, self.seen = kill_after, []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append([part.get_weights() for part in (self.model.critic, self.model.generator)])

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == self.kill_after:
            raise KeyboardInterrupt


def run(folder, watch=None, recipe=RECIPE, **options):
    return loop.train(recipe, recipe.make_config("small", options), [], [], work_dir=str(folder / "work"),
                      log_dir=str(folder / "logs"), callbacks=[watch or Watch()], progress=False)  # fmt: skip


def arrays(model):
    return [np.array(v) for v in (*model.weights, *model.optimizer.variables)]


def same(one, two) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_each_part_is_updated_when_it_is_its_turn(tmp_path):
    watch = Watch()
    model = run(tmp_path, watch)
    critics, generators = zip(*watch.seen, (model.critic.get_weights(), model.generator.get_weights()), strict=True)
    assert [same(*pair) for pair in zip(critics, critics[1:], strict=False)] == [False] * 6
    assert [same(*pair) for pair in zip(generators, generators[1:], strict=False)] == [True, False] * 3
    counts = [int(group.optimizer.iterations) for group in model.optimizer.groups]
    assert counts == [6, 3] and int(model.optimizer.iterations) == 6


@pytest.mark.slow
def test_a_killed_game_ends_where_it_would_have(tmp_path):
    whole = arrays(run(tmp_path / "whole"))
    for epoch in (1, 2):  # the second is in the generator's momentum, the first before it has any
        folder = tmp_path / str(epoch)
        with pytest.raises(KeyboardInterrupt):
            run(folder, Watch(kill_after=epoch))
        watch = Watch()
        resumed = run(folder, watch)
        assert len(watch.seen) == 6 - 2 * epoch and same(arrays(resumed), whole)


def test_every_weight_sees_its_own_loss(tmp_path):
    model = game.build(RECIPE.make_config("small"))
    x = next(iter(RECIPE.inputs([], RECIPE.make_config("small"), False)))
    with tf.GradientTape(persistent=True) as tape:
        made = model(x)
        own = model.losses_of(x, made)
        together = model.compute_loss(x, y_pred=made)
        cheated = -ops.mean(model.critic(made))
    for part, loss, other in ((model.generator, own[0], own[1]), (model.critic, own[1], own[0])):
        weights = [v.value for v in part.trainable_variables]
        for mine, summed in zip(tape.gradient(loss, weights), tape.gradient(together, weights), strict=True):
            np.testing.assert_allclose(summed, mine, rtol=1e-5, atol=1e-7)
        assert tape.gradient(other, weights) == [None] * len(weights)
    generator = [v.value for v in model.generator.trainable_variables]
    for a, b in zip(tape.gradient(cheated, generator), tape.gradient(own[0], generator), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)  # a critic that is held still passes the same on


def test_an_update_at_a_step_that_is_not_its_own_is_none_even_of_no_number():
    one = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    for made in (keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)):
        optimizers = Optimizers(Group(made, one, every=2))
        optimizers.build(one.trainable_variables)
        before = [np.array(v) for v in (*one.weights, *made.variables)]
        optimizers.apply([ops.full(v.shape, np.nan) for v in one.trainable_variables])
        assert same(before, [np.array(v) for v in (*one.weights, *made.variables)])
        optimizers.apply([ops.ones(v.shape) for v in one.trainable_variables])
        assert np.isfinite(one.get_weights()[0]).all() and int(made.iterations) == 1
        assert not same(before[:2], one.get_weights())


def test_some_groups_alone_can_be_updated():
    first, second = (keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]) for _ in range(2))
    optimizers = Optimizers(*(Group(keras.optimizers.SGD(0.1), part) for part in (first, second)))
    variables = [*first.trainable_variables, *second.trainable_variables]
    optimizers.build(variables)
    before = [np.array(v) for v in variables]
    optimizers.apply([ops.ones(v.shape) for v in variables[:2]], variables[:2])
    changed = [not np.array_equal(v, b) for v, b in zip(variables, before, strict=True)]
    assert changed == [True, True, False, False]


def test_mixed_precision_scales_the_loss_of_a_game(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = run(tmp_path)
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert [int(g.optimizer.iterations) for g in model.optimizer.inner_optimizer.groups] == [6, 3]
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_what_cannot_be_is_refused():
    parts = [keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]) for _ in range(2)]
    variables = [v for part in parts for v in part.trainable_variables]
    sgd = keras.optimizers.SGD
    for groups in ([Group(sgd(), parts[0])], [Group(sgd(), parts[0]), Group(sgd(), parts[0]), Group(sgd(), parts[1])]):
        with pytest.raises(ValueError, match="must belong to the part of one group"):
            Optimizers(*groups).build(variables)
    for kept in ({"weight_decay": 0.1}, {"use_ema": True}, {"gradient_accumulation_steps": 2}):
        with pytest.raises(ValueError, match="a group that is updated every step"):
            Optimizers(Group(sgd(**kept), parts[0], every=2))


def test_a_frozen_layer_keeps_its_state():
    layer = keras.layers.BatchNormalization()
    x = tf.constant(np.random.default_rng(0).normal(size=(8, 3)), tf.float32)
    layer.build(x.shape)
    before = layer.get_weights()
    frozen(layer, x, training=True)
    assert same(before, layer.get_weights())


def test_a_recipe_without_a_word_gets_the_one_optimizer_of_its_options(tmp_path):
    plain = dataclasses.replace(RECIPE, compile=None)
    model = loop.compiled_model(plain, plain.make_config("small", {"optimizer": "sgd", "momentum": 0.5}))
    assert type(model.optimizer) is keras.optimizers.SGD and model.optimizer.momentum == 0.5
