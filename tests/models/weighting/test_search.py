"""The search of a policy: duplicates, rewards, the agent."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.contract import registry
from models.contract.training import Files
from models.training import loop
from models.weighting import law
from models.weighting.agent import Agent
from models.weighting.policy import FEATURES, PROGRESS, Policy, normalised, states

OPTIONS = {
    "classes": 3, "image_size": 8, "batch_size": 8, "classifier_settings": "width=4", "clean_share": 0.3, "seed": 5,
}  # fmt: skip


def config_of(**options):
    return registry.get("law").make_config("small", OPTIONS | options)


@keras.saving.register_keras_serializable("tests")
class Dropping(keras.Model):
    """A classifier with all that a duplicate must share: batch statistics, dropout, momentum."""

    def __init__(self):
        super().__init__()
        self.layers_ = [keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(), keras.layers.Dropout(0.4),
                        keras.layers.Flatten(), keras.layers.Dense(3)]  # fmt: skip

    def call(self, x, training=None):
        for layer in self.layers_:
            x = (
                layer(x, training=training)
                if isinstance(layer, keras.layers.Dropout | keras.layers.BatchNormalization)
                else layer(x)
            )
        return x


def make():
    keras.utils.set_random_seed(5)
    model = Dropping()
    model(np.zeros((1, 8, 8, 3), "float32"))
    return model


def searched(steps=12, **options):
    """A compiled search of networks with dropout: 2 episodes of 2 stages."""
    config = config_of(episodes=2, stages=2, steps=1000, **options)
    config = dataclasses.replace(config, part="rest", steps=steps)
    model = law.search.Search(config, make, law.fresh_policy(config))
    model(np.zeros((1, 8, 8, 3), "float32"))
    law.compile(model, config)
    return model


def batch(seed, count=8):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=count)
    x = rng.random((count, 8, 8, 3)).astype("float32") * 0.3
    x[np.arange(count), :, :, labels] += 0.5
    return tf.constant(x), {"labels": tf.one_hot(labels, 3), "wrong": tf.zeros(count)}


def clean(seed=99):
    x, y = batch(seed, 40)
    return x.numpy(), y["labels"].numpy()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_with_uniform_weights_a_reward_is_exactly_nothing(optimizer):
    model = searched(exploration=0.0, actor_rate=0.0, optimizer=optimizer)
    first = [np.array(v) for v in model.target.variables]
    for stage in range(2):
        for n in range(3):
            model.train_step(batch(10 * stage + n))
        pairs = [(np.array(a), np.array(b)) for a, b in model.pairs()]
        assert len(pairs) > 10 and all(np.array_equal(a, b) for a, b in pairs)  # slots, averages and seeds among them
        assert any((a != b).any() for a, b in zip(first, (p[0] for p in pairs), strict=False))  # they did learn
        assert model.finish_stage(clean()) == 0.0
    assert not np.array(model.log["rewards"]).any()


def test_weights_make_the_target_differ_until_it_is_duplicated_again():
    model = searched(exploration=1.0)
    for n in range(3):
        model.train_step(batch(n))
    assert any((np.array(a) != np.array(b)).any() for a, b in model.pairs())
    target = [np.array(a) for a, _ in model.pairs()]
    assert model.finish_stage(clean()) != 0.0
    for before, (ours, theirs) in zip(target, model.pairs(), strict=True):
        assert np.array_equal(before, ours) and np.array_equal(ours, theirs)


def test_an_episode_begins_with_the_first_weights_and_no_momentum():
    model = searched(exploration=1.0)
    first = [np.array(a) for a, _ in model.pairs()]
    for n in range(6):
        model.train_step(batch(n))
        if n % 3 == 2:
            model.finish_stage(clean())
    for before, (ours, theirs) in zip(first, model.pairs(), strict=True):
        assert np.array_equal(before, ours) and np.array_equal(before, theirs)
    assert float(model.best_score) == np.array(model.log["scores"])[0, 1]


def test_the_optimizers_of_the_agent_leave_the_networks_alone():
    model = searched(exploration=1.0)
    for stage in range(2):
        for n in range(3):
            model.train_step(batch(n + 3 * stage))
        before = [np.array(v) for v in model.target.trainable_variables]
        actor = [np.array(v) for v in model.policy.actor.variables]
        model.agent.close(0.1, stage == 1)
        model.agent.learn(model.optimizer.apply)
        assert all(np.array_equal(a, b) for a, b in zip(before, model.target.trainable_variables, strict=True))
    assert any((a != np.array(b)).any() for a, b in zip(actor, model.policy.actor.variables, strict=True))


def agent_of(**options):
    """An agent of stages of 8 steps, 16 examples each, and what applies gradients to it."""
    config = config_of(episodes=9, stages=4, discount=0.0, smoothing=1.0, **options)
    agent = Agent(Policy(FEATURES, 4, config.smoothing, 3), config, 8, 16)
    rates = {id(agent.policy.actor): config.actor_rate, id(agent.critic): config.critic_rate}
    optimizers = {}
    for network in agent.optimized:
        one = optimizers[id(network.trainable_variables[0])] = keras.optimizers.Adam(rates[id(network)])
        one.build(network.trainable_variables)
    return agent, lambda gradients, variables: optimizers[id(variables[0])].apply(gradients, variables)


def play(agent, apply, stages, deviation=0.5, seed=0):
    """Stages whose reward is large if examples of a large first entry (the loss) weigh little; errors of the critic."""
    rng, errors = np.random.default_rng(seed), []
    for stage in range(stages):
        agent.explore(deviation)
        gains = []
        for _ in range(8):
            seen = rng.random((16, len(FEATURES))).astype("float32")
            weights = np.array(agent.weigh(tf.constant(seen)))
            gains.append(np.mean((weights - 1) * (0.5 - seen[:, 0])))
        agent.close(float(np.mean(gains)), stage % 4 == 3)
        errors.append(agent.learn(apply))
    return errors


@pytest.mark.slow
def test_the_agent_finds_out_which_examples_to_weigh_less():
    agent, apply = agent_of(passes=40, critic_rate=3e-3, actor_rate=3e-3)
    play(agent, apply, 12)
    rows = np.full((2, len(FEATURES)), 0.5, "float32")
    rows[:, 0] = 0.05, 0.95
    low, high = np.array(agent.policy.actions(rows))
    assert low > high + 0.3, (low, high)


@pytest.mark.slow
def test_full_data_leave_the_critic_a_smaller_error():
    found = {}
    for full in (True, False):
        agent, apply = agent_of(full_data=full, passes=40, critic_rate=3e-3, actor_rate=0.0)
        found[full] = np.mean(play(agent, apply, 16)[-8:])
    assert found[True] < 0.7 * found[False], found


def test_a_stage_is_learned_from_when_its_next_one_is_known_or_there_is_none():
    agent, _ = agent_of(memory=3)
    usable = []
    for ends in (False, False, True, False, False):
        for _ in range(8):
            agent.weigh(tf.zeros((16, len(FEATURES))))
        agent.close(1.0, ends)
        usable.append(sorted(agent.usable().tolist()))
    assert usable == [[], [0], [0, 1, 2], [1, 2], [0, 2]]  # places in a memory of three


def test_exploration_treats_like_examples_alike_and_fades():
    agent, _ = agent_of()
    rng = np.random.default_rng(1)
    seen = rng.random((256, len(FEATURES))).astype("float32")
    agent.policy.see(tf.constant(seen))
    deviations = []
    for deviation in (0.3, 0.1, 0.0):
        agent.explore(deviation)
        actions = np.array(agent.policy.actions(np.concatenate([seen, seen]), direction=agent.direction))
        assert np.array_equal(actions[:256], actions[256:]) and actions.min() >= 0 and actions.max() <= 2
        deviations.append(actions.std())
    assert deviations[0] > deviations[1] > deviations[2] == 0.0


def test_smoothing_mixes_a_stage_with_the_one_before():
    policy = Policy(FEATURES, 4, 0.25, 3)
    policy.actor.layers[-1].kernel.assign(np.random.default_rng(0).normal(size=(64, 1)))
    policy.see(tf.random.stateless_uniform((64, len(FEATURES)), (1, 2)))
    rows = np.full((4, len(FEATURES)), 0.4, "float32")
    rows[:, PROGRESS] = np.arange(4) / 4
    plain = np.array(policy._one(tf.constant(rows), policy.actor))
    assert len(set(plain.round(4))) == 4
    before = plain[[0, 0, 1, 2]]
    np.testing.assert_allclose(policy.actions(tf.constant(rows)), 0.25 * plain + 0.75 * before, rtol=1e-5)


def test_weights_have_mean_one_and_none_is_nothing():
    weights = np.array(normalised(np.array([0.0, 2.0, 1.0, 1.0], "float32")))
    assert weights.mean() == pytest.approx(1.0) and weights.min() > 0 and weights[1] == pytest.approx(2, rel=1e-2)
    assert np.array_equal(normalised(np.ones(7, "float32")), np.ones(7))
    assert np.array_equal(normalised(np.zeros(4, "float32")), np.ones(4))


def test_a_state_says_what_it_promises():
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [1 / 3, 1 / 3, 1 / 3]], "float32"))
    labels = np.eye(3, dtype="float32")[[0, 0, 2]]
    found = dict(zip((*FEATURES, "frequency"), np.array(states(logits, labels, 0.5, [1.0, 0.5, 0.2])).T, strict=True))
    np.testing.assert_allclose(found["loss"], -np.log([0.7, 0.1, 1 / 3]) / 10, rtol=1e-5)
    np.testing.assert_allclose(found["rank"], [0, 1, 0.5])
    np.testing.assert_allclose(found["p_label"], [0.7, 0.1, 1 / 3], rtol=1e-5)
    np.testing.assert_allclose(found["margin"], [0.5, -0.7, 0], atol=1e-6)
    np.testing.assert_allclose(found["p_max"], [0.7, 0.8, 1 / 3], rtol=1e-5)
    assert found["entropy"][2] == pytest.approx(1.0) and found["entropy"][1] < found["entropy"][0]
    np.testing.assert_allclose(found["frequency"], [1, 1, 0.2]) and (found["progress"] == 0.5).all()


@pytest.mark.slow
def test_a_killed_search_goes_on_with_its_agent(records, tmp_path):
    """The state at the end of an episode holds the memory, the scores and what the optimizers keep."""
    recipe = registry.get("law")
    config = config_of(episodes=2, stages=2, steps=14, image_size=16, search_share=0.6, clean_share=0.4)
    (phase, *_) = law.phases(config, Files([], [], "", ""))
    config = phase.config(config)
    model = loop.compiled_model(recipe, config, phase)
    files = records("weighted")
    (callback,) = law.callbacks(model, config, Files([files["train"]], [], "", ""))
    callback.set_model(model)
    for batch_ in recipe.inputs([files["train"]], config, True).take(4):
        model.train_step(batch_)
        callback.on_train_batch_end(0)
    assert int(model.agent.stage) == 2 and np.array(model.agent.states).any()
    model.save_weights(tmp_path / "s.weights.h5")
    other = loop.compiled_model(recipe, dataclasses.replace(config, seed=9), phase)
    other.load_weights(tmp_path / "s.weights.h5")
    for ours, theirs in zip((*model.variables, *model.optimizer.variables),
                            (*other.variables, *other.optimizer.variables), strict=True):  # fmt: skip
        assert np.array_equal(ours, theirs), ours.path
