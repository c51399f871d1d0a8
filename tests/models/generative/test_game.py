"""A game in turns: who learns when and from what, what is averaged and logged, and that a kill changes nothing."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from models.generative.game import Batch
from models.training import loop
from models.training.optimizers import frozen
from tests.models.generative import small_game

RECIPE = small_game.RECIPE_OF_TESTS


class Watch(keras.callbacks.Callback):
    """Notes both sides' weights before each step; a kill after so many epochs."""

    def __init__(self, kill_after: int = 0):
        super().__init__()
        self.kill_after, self.seen = kill_after, []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(sides(self.model))

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == self.kill_after:
            raise KeyboardInterrupt


def sides(model) -> list:
    """Weights that learn: the critic's, the generator's."""
    generators = [*model.network.trainable_variables, *model.norm.trainable_variables]
    critics = model.critic.trainable_variables if model.critic else []
    return [[np.array(v) for v in side] for side in (critics, generators)]


def run(folder, watch=None, **options):
    return loop.train(RECIPE, RECIPE.make_config("small", options), [], [], work_dir=str(folder / "work"),
                      log_dir=str(folder / "logs"), callbacks=[watch or Watch()], progress=False)  # fmt: skip


def same(one, two) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def state(model) -> list:
    return [np.array(v) for v in (*model.weights, *model.optimizer.variables)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A game in one go: the model, what was seen of its steps, its history."""
    folder, watch = tmp_path_factory.mktemp("game"), Watch()
    model = run(folder, watch)
    return model, watch.seen, json.loads((folder / "logs" / "history.json").read_text())


def test_each_side_learns_at_its_turns(whole):
    model, seen, history = whole
    critics, generators = zip(*seen, sides(model), strict=True)
    assert [same(*pair) for pair in zip(critics, critics[1:], strict=False)] == [False, False, True] * 4
    assert [same(*pair) for pair in zip(generators, generators[1:], strict=False)] == [True, True, False] * 4
    assert [int(g.optimizer.iterations) for g in model.optimizer.groups] == [4, 8] and int(model.turn) == 12
    names = {"mse", "passes", "told", "penalty"}
    assert all(names | {f"val_{n}" for n in names} <= set(entry) for entry in history)
    assert all(np.isfinite(list(entry.values())).all() for entry in history)


def test_the_average_moves_with_the_generator_and_is_what_answers(whole):
    model, seen, _ = whole
    generators = [weights for _, weights in seen]
    expected = generators[0]
    for update in range(4):  # of what an update begins with
        kept = min(0.5, (1 + update) / (10 + update))
        expected = [kept * e + (1 - kept) * w for e, w in zip(expected, generators[3 * update + 2], strict=True)]
    for average, value in zip(model.averages, expected, strict=True):
        np.testing.assert_allclose(average, value, rtol=1e-5, atol=1e-6)
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 2)).astype("float32")
    answer = np.array(model(x, training=False))
    other = small_game.build(RECIPE.make_config("small"))
    other.set_weights(model.get_weights())
    other.settle()
    assert not same(sides(other)[1], sides(model)[1]) and same(sides(other)[1], [np.array(a) for a in model.averages])
    without = small_game.build(RECIPE.make_config("small", {"average": 0.0}))
    without.network.set_weights(other.network.get_weights())
    without.norm.set_weights(other.norm.get_weights())
    assert not without.averages and np.allclose(without(x, training=False), answer, atol=1e-6)
    model.critic.set_weights([w + 1 for w in other.critic.get_weights()])
    other.network.set_weights([w + 1 for w in other.network.get_weights()])
    assert np.array_equal(other(x, training=False), answer)
    other.restart()
    assert not np.allclose(other(x, training=False), answer)
    model.critic.set_weights(other.critic.get_weights())


@pytest.mark.slow
def test_a_killed_game_ends_where_it_would_have(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Watch(kill_after=1))  # four steps: in the middle of a round
    watch = Watch()
    resumed = run(tmp_path, watch)
    assert len(watch.seen) == 8 and same(state(resumed), state(whole[0]))


def played(model, x):
    """Loss and gradients, by weight, of the next turn."""
    variables = [v.value for side in (model.critic, model.network, model.norm) for v in side.trainable_variables]
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, None, model(x, training=True))
    return loss, tape.gradient(loss, variables, unconnected_gradients="zero"), variables


@pytest.mark.parametrize("compiled", [False, True])
def test_a_turn_has_the_gradient_of_its_own_loss(compiled):
    config = RECIPE.make_config("small", {"alone": False, "critic_steps": 1})
    model = small_game.build(config)
    x = tf.random.stateless_normal((4, 4, 4, 2), (3, 4))
    turn = tf.function(lambda: played(model, x)[:2], jit_compile=True) if compiled else lambda: played(model, x)[:2]
    for loss_of, of_critic in ((model.critic_loss, True), (model.generator_loss, False)):
        loss, found = turn()
        variables = played(model, x)[2]
        model.turn.assign(model.turn - 1)
        with tf.GradientTape() as tape:
            own = loss_of(Batch(x), True)[0]
        expected = tape.gradient(own, variables, unconnected_gradients="zero")
        np.testing.assert_allclose(loss, own, rtol=1e-5)
        for n, (mine, its) in enumerate(zip(found, expected, strict=True)):
            is_critics = n < len(model.critic.trainable_variables)
            np.testing.assert_allclose(mine, its if is_critics == of_critic else 0 * its, rtol=1e-4, atol=1e-6)
            assert bool(np.any(mine)) == (is_critics == of_critic)


def test_a_frozen_critic_says_the_same(whole):
    model, x = whole[0], tf.random.stateless_normal((4, 4, 4, 2), (3, 4))
    np.testing.assert_allclose(frozen(model.critic, x), model.critic(x), rtol=1e-6)


@pytest.mark.slow
def test_half_precision_skips_what_is_infinite_and_keeps_the_turns(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = run(tmp_path, steps=30, steps_per_epoch=30, critic_steps=1)
    finally:
        keras.config.set_dtype_policy("float32")
    optimizers = model.optimizer.inner_optimizer
    critics, generators = (int(g.optimizer.iterations) for g in optimizers.groups[::-1])
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) and int(model.turn) == 30
    assert critics + generators == int(optimizers.iterations) and critics > 5 and generators > 5
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_without_a_critic_every_turn_is_the_generators(tmp_path):
    model = run(tmp_path, adversarial=False, steps=4)
    assert model.turns == 1 and int(model.optimizer.iterations) == int(model.turn) == 4
    assert set(model.trackers) == {"mse"} and not any("critic" in v.path for v in model.variables)


def test_a_phase_may_freeze_a_layer_of_the_generator():
    model = small_game.build(RECIPE.make_config("small"))
    model.norm.trainable = False
    RECIPE.compile(model, model.config)
    x = np.ones((4, 4, 4, 2), "float32")
    before, model.run_eagerly = [np.array(v) for v in model.norm.weights[:2]], True
    for _ in range(3):
        model.train_on_batch(x)
    assert same(before, [np.array(v) for v in model.norm.weights[:2]])
    assert len(model.averages) == 4 and np.isfinite(ops.convert_to_numpy(model.averages[2])).all()
