"""The agent that searches a policy: deep deterministic policy gradients (arXiv:1509.02971) on whole batches.

A transition is a training step: the states [B, F] and weights [B] of its batch, and the reward of the stage it lies in.
The value of a batch is the mean over its examples of what the critic says of each, so that the critic finds out which
examples' weights a reward came from. The next state of a step is that of the same step in the next stage.
"""

import keras
import numpy as np
from keras import ops

from models.weighting import tensors
from models.weighting.policy import Policy, each, mlp, normalised

BATCH = 16  # transitions a step of the agent learns from


class Agent(keras.layers.Layer):
    """Critic, target copies and the memory of the last stages, beside a policy; everything is a variable, as states of
    trainings are files of those.

    Args:
      policy: whose actor learns. config: of `law`. steps: of a stage. batch: examples a step.
    """

    def __init__(self, policy: Policy, config, steps: int, batch: int, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.policy, self.config, self.steps = policy, config, steps
        features = len(policy.feature_names)
        self.critic = mlp(features + 1, config.seed + 10)
        self.late_actor = mlp(features, config.seed, kernel_initializer="zeros")
        self.late_critic = mlp(features + 1, config.seed + 10)
        for late, own in ((self.late_actor, policy.actor), (self.late_critic, self.critic)):
            late.set_weights(own.get_weights())
            late.trainable = False
        memory = config.memory
        self.states = self._numbers("states", memory, steps, batch, features)
        self.weights_given = self._numbers("weights_given", memory, steps, batch)
        self.rewards = self._numbers("rewards", memory)
        self.ends = self._numbers("ends", memory)  # 1 where an episode ends: there is no next stage
        self.stage = self.add_weight(shape=(), dtype="int32", trainable=False, initializer="zeros", name="stage")
        self.step = self.add_weight(shape=(), dtype="int32", trainable=False, initializer="zeros", name="step")
        self.squares = self._numbers("squares")  # sum of squared rewards
        self.direction = self._numbers("direction", features)
        self.draws = self.add_weight(shape=(), dtype="int32", trainable=False, initializer="zeros", name="draws")
        self.built = True

    def _numbers(self, name, *shape):
        return self.add_weight(shape=shape, trainable=False, initializer="zeros", name=name)

    @property
    def optimized(self) -> tuple[keras.Layer, keras.Layer]:
        """The networks that learn: actor and critic."""
        return self.policy.actor, self.critic

    def _seed(self):
        """A new seed at each call, int32 [2]; how many there were is part of the state."""
        self.draws.assign_add(1)
        return ops.stack([ops.convert_to_tensor(self.config.seed, "int32"), self.draws + 0])

    def explore(self, deviation: float) -> None:
        """Draws the direction of the exploration for a stage; over standardised states it deviates by about as much."""
        size = self.direction.shape[0]
        self.direction.assign(deviation / size**0.5 * tensors.normal(size, self._seed()))

    def weigh(self, states):
        """Weights [B] with exploration; the step is remembered."""
        self.policy.see(states)
        weights = normalised(self.policy.actions(states, direction=self.direction))
        place = (self.stage % self.config.memory, self.step + 0)
        for memory, value in ((self.states, states), (self.weights_given, weights)):
            tensors.write(memory, place, value)
        self.step.assign_add(1)
        return weights

    def close(self, reward: float, ends: bool) -> None:
        """Ends a stage: all of its steps have this reward. An episode may end with it."""
        place = int(self.stage) % self.config.memory
        for memory, value in ((self.rewards, reward), (self.ends, float(ends))):
            tensors.write(memory, (place,), value)
        self.squares.assign_add(reward**2)
        self.stage.assign_add(1)
        self.step.assign(0)

    def usable(self) -> np.ndarray:
        """Places of the remembered stages whose next stage is known, or that have none; int32 [N]."""
        done, memory = int(self.stage), self.config.memory
        numbers = np.arange(max(0, done - memory), done)
        ends = np.array(self.ends)[numbers % memory] > 0
        return (numbers[(numbers < done - 1) | ends] % memory).astype("int32")

    def learn(self, apply) -> float:
        """Updates actor and critic from the remembered stages.

        Args:
          apply: (gradients, variables) -> None, of the optimizers.

        Returns:
          Mean squared error of the critic over all steps of the newest of these stages, in scaled rewards, before it is
          learned from any more; 0 if there is nothing yet.
        """
        places = self.usable()
        if not len(places):
            return 0.0
        count = self.config.passes * (max(1, self.steps // BATCH) if self.config.full_data else 1)
        return float(self._updates(apply)(places, count))

    def _updates(self, apply):
        """The updates as one graph, traced once."""
        if not hasattr(self, "_graph"):

            def run(places, count):
                steps = ops.arange(self.steps, dtype="int32")
                error = self._error(*self._at(ops.zeros_like(steps) + places[-1], steps))
                tensors.repeat(count, lambda: self._update(apply, *self._drawn(places)), error)
                return error

            self._graph = tensors.graph(run, ([None], "int32"), ([], "int32"))
        return self._graph

    def _drawn(self, places):
        """Transitions of random stages and steps: states, weights, scaled rewards, ends, next states."""
        chosen = ops.take(places, self._integers(ops.shape(places)[0]))
        # With one transition a stage it is always the same one, in the middle.
        step = self._integers(self.steps)
        step = step if self.config.full_data else ops.zeros_like(step) + self.steps // 2
        return self._at(chosen, step)

    def _integers(self, end):
        return tensors.integers(BATCH, end, self._seed())

    def _at(self, chosen, step):
        """Transitions at places of the memory and steps, int32 [M] each."""
        scale = ops.sqrt(self.squares / ops.cast(ops.maximum(self.stage, 1), "float32")) + 1e-8
        here, there = (p * self.steps + step for p in (chosen, (chosen + 1) % self.config.memory))
        states = ops.reshape(self.states, (-1, *self.states.shape[2:]))
        weights = ops.reshape(self.weights_given, (-1, self.weights_given.shape[2]))
        rewards, ends = (ops.take(v, chosen) for v in (self.rewards, self.ends))
        return (ops.take(states, here, axis=0), ops.take(weights, here, axis=0), rewards / scale, ends,
                ops.take(states, there, axis=0))  # fmt: skip

    def value(self, states, weights, critic=None):
        """What batches are worth, [M]: the mean over the examples; states [M, B, F], weights [M, B]."""
        given = ops.concatenate([self.policy.normalise(states), weights[..., None] - 1.0], axis=-1)
        return ops.mean(each(critic or self.critic, given), axis=-1)

    def _update(self, apply, states, weights, rewards, ends, after):
        """A step of critic and actor; then the target copies follow."""
        policy, config = self.policy, self.config

        def of_critic():
            return self._error(states, weights, rewards, ends, after), None

        def of_actor():
            given = normalised(policy.actions(states))
            return config.eta * ops.mean(ops.square(given - 1)) - ops.mean(self.value(states, given)), None

        for network, loss in ((self.critic, of_critic), (policy.actor, of_actor)):
            variables = network.trainable_variables
            apply(tensors.gradients(loss, variables)[2], variables)
        for late, own in ((self.late_actor, policy.actor), (self.late_critic, self.critic)):
            for slow, fast in zip(late.variables, own.variables, strict=True):
                slow.assign_add(config.tau * (fast - slow))

    def _error(self, states, weights, rewards, ends, after):
        """Mean square of what the critic is off by, scalar."""
        then = normalised(self.policy.actions(after, self.late_actor))
        wanted = rewards + self.config.discount * (1 - ends) * self.value(after, then, self.late_critic)
        return ops.mean(ops.square(self.value(states, weights) - ops.stop_gradient(wanted)))
