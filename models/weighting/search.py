"""The search of a weighting policy: Learning to Auto Weight (arXiv:1905.11058).

    batch --+--> target, its losses weighed by the agent -----+-- at the end of a stage: reward, what the target gained
            '--> reference, a duplicate with uniform weights -'   on clean examples over the reference; then it becomes
                                                                  a duplicate again

An episode is a training from fresh weights, cut into stages; the agent learns after each of them.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from models.classifiers.classifier import cross_entropy, hits
from models.contract.recipe import ConfigError
from models.training import replicas
from models.training.optimizers import Group, Optimizers, optimizer
from models.weighting import tensors
from models.weighting.agent import Agent
from models.weighting.policy import PROGRESS, states

_AT_ONCE = 512  # clean examples


class Search(keras.Model):
    """Target and reference, trained together on the same batches, and the agent. `call` gives the target's logits.

    Args:
      config: of `law`, with the steps of the whole search. make: () -> a built classifier. policy: what is searched.
    """

    def __init__(self, config, make, policy, **kwargs):
        super().__init__(**kwargs)
        if keras.backend.backend() != "tensorflow" or replicas.count() > 1:
            raise ConfigError("weighting=law: a policy is searched with Keras on TensorFlow, on one device")
        self.config, self.policy = config, policy
        self.target, self.reference = make(), make()
        self.stage_steps = config.steps // (config.episodes * config.stages)
        self.agent = Agent(policy, config, self.stage_steps, config.batch_size)
        numbers = (config.episodes, config.stages)
        self.log = {name: self.add_weight(shape=numbers, trainable=False, initializer="zeros", name=name)
                    for name in ("rewards", "scores", "errors")}  # fmt: skip
        self.best = [self.add_weight(shape=v.shape, trainable=False, initializer="zeros", name=f"best{n}")
                     for n, v in enumerate((policy.count, policy.sums, *policy.actor.variables))]  # fmt: skip
        self.best_score = self.add_weight(shape=(), trainable=False, initializer="zeros", name="best_score")
        self.trackers = [keras.metrics.Mean(name=n) for n in ("accuracy", "cross_entropy")]
        self.frequencies = config.class_frequencies

    def call(self, x, training=None):
        """Logits of the target for pixels."""
        return self.target(x, training=training)

    @property
    def progress(self):
        """Share of the episode's stages that are done, float32 scalar."""
        return ops.cast(self.agent.stage % self.config.stages, "float32") / self.config.stages

    def train_step(self, data):
        """Both networks learn from a batch; the agent remembers it."""
        x, y = data
        networks = (self.target, self.reference)
        variables = [v for network in networks for v in network.trainable_variables]

        def losses():
            logits, plain = (network(x, training=True) for network in networks)
            weights = self.agent.weigh(states(logits, y["labels"], self.progress, self.frequencies))
            pairs = ((logits, ops.stop_gradient(weights)), (plain, ops.ones_like(weights)))
            own, others = (ops.mean(cross_entropy(y["labels"], found) * given) for found, given in pairs)
            return own + others, (own, logits)

        _, (loss, logits), gradients = tensors.gradients(losses, variables)
        self.optimizer.apply(gradients, variables)
        self._loss_tracker.update_state(loss)
        return self.compute_metrics(x, y["labels"], logits)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Cross-entropy of the target, for the validation."""
        return ops.mean(cross_entropy(y, y_pred))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Running means of accuracy and cross-entropy of the target."""
        for tracker, value in zip(self.trackers, (hits(y, y_pred), cross_entropy(y, y_pred)), strict=True):
            tracker.update_state(value)
        return self.get_metrics_result()

    def pairs(self):
        """(variable of the target, that of the reference): weights, averages, seeds, and what their optimizers keep."""
        sides = zip((self.target, self.reference), self.groups, strict=False)
        both = [(network.variables, group.optimizer.variables) for network, group in sides]
        return zip(*([*own, *slots] for own, slots in both), strict=True)

    @property
    def groups(self):
        """The optimizers' groups: target, reference, actor, critic."""
        return self.optimizer.groups

    def duplicate(self) -> None:
        """Makes the reference the target's duplicate."""
        for ours, theirs in self.pairs():
            theirs.assign(ours)

    def begin(self) -> None:
        """Begins an episode from the first weights, which are those at the first call."""
        if not hasattr(self, "first"):
            self.first = [np.array(ours) for ours, _ in self.pairs()]
        for (ours, _), value in zip(self.pairs(), self.first, strict=True):
            ours.assign(value)
        self.duplicate()

    def finish_stage(self, clean) -> float:
        """Ends a stage: reward, learning of the agent, and duplicates or a new episode; returns the reward.

        Args:
          clean: (pixels [N, S, S, 3], labels [N, K]), arrays.
        """
        config = self.config
        episode, stage = divmod(int(self.agent.stage), config.stages)
        scores = self.scores(*clean)
        reward, last = float(scores[0] - scores[1]), stage == config.stages - 1
        self.agent.close(reward, last)
        error = self.agent.learn(self.optimizer.apply)
        for name, value in (("rewards", reward), ("scores", scores[0]), ("errors", error)):
            tensors.write(self.log[name], (episode, stage), value)
        if last:
            self._keep_best(episode, float(scores[0]))
            self.begin()
        else:
            self.duplicate()
        self.agent.explore(config.exploration * config.exploration_decay ** (episode + last))
        return reward

    def _keep_best(self, episode: int, score: float) -> None:
        """Keeps the policy after an episode whose target ended better than all before."""
        if not episode or score > float(self.best_score):
            self.best_score.assign(score)
            for kept, value in zip(self.best, self.policy.arrays(), strict=True):
                kept.assign(value)

    def scores(self, pixels, labels) -> tuple[float, float]:
        """What target and reference make of clean examples: minus cross-entropy, or accuracy; more is better."""
        by_accuracy = self.config.reward == "accuracy"
        found = np.zeros(2)
        for start in range(0, len(pixels), _AT_ONCE):
            x, y = (a[start : start + _AT_ONCE] for a in (pixels, labels))
            found += np.array(self._answered(x, y), np.float64)[:, int(by_accuracy)]
        return tuple(found / len(pixels))

    def _answered(self, x, y):
        """Sums over examples of (minus cross-entropy, hits) of both networks, [2, 2]."""
        if not hasattr(self, "_graph"):

            def run(x, y):
                logits = [network(x, training=False) for network in (self.target, self.reference)]
                return ops.stack([ops.stack([-ops.sum(cross_entropy(y, z)), ops.sum(hits(y, z))]) for z in logits])

            self._graph = tensors.graph(run, *(([None, *side.shape[1:]], "float32") for side in (x, y)))
        return self._graph(x, y)

    def summary(self) -> dict:
        """What the search was: "rewards", "scores" (on clean examples), "errors" (of the critic), lists [E][K]; "best"
        (score of the policy that was kept); "change" [K - 1], mean |w_k - w_(k-1)| of the last batches remembered.
        """
        found = {name: np.array(v).round(6).tolist() for name, v in self.log.items()}
        place = (int(self.agent.stage) - 1) % self.config.memory
        return found | {"best": float(self.best_score), "change": self.changes(np.array(self.agent.states)[place])}

    def changes(self, probe) -> list[float]:
        """Mean difference of the policy's actions from one stage to the next on states [..., F]."""
        count, actions = self.config.stages, []
        for stage in range(count):
            moved = probe.copy()
            moved[..., PROGRESS] = stage / count
            actions.append(np.array(self.policy.actions(moved)))
        return [round(float(np.abs(b - a).mean()), 6) for a, b in zip(actions, actions[1:], strict=False)]


def compile_search(model: Search, config) -> None:
    """Four optimizers, one of each network. Those of target and reference are alike; their schedule is an episode's."""
    actor, critic = model.agent.optimized
    rates = ((actor, config.actor_rate), (critic, config.critic_rate))
    of_episode = dataclasses.replace(config, steps=model.stage_steps * config.stages)
    model.compile(
        optimizer=Optimizers(
            *(Group(optimizer(of_episode), network) for network in (model.target, model.reference)),
            *(Group(keras.optimizers.Adam(rate), network) for network, rate in rates),
        )
    )
    model.optimizer.build(model.trainable_variables)
    model.begin()
    model.agent.explore(config.exploration)


class Stages(keras.callbacks.Callback):
    """Ends the stages of a search within its steps, so that a state of the training never lies between."""

    def __init__(self, clean):
        super().__init__()
        self.clean = clean

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.agent.step) == self.model.stage_steps:
            self.model.finish_stage(self.clean)
