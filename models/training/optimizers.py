"""Optimizers: the one that a configuration describes, and several that a model is trained with as if they were one.

    def compile(model, config):
        model.compile(optimizer=Optimizers(
            Group(optimizer(config), model.critic), Group(optimizer(config), model.generator, every=2)))

The losses of a game go into one `compute_loss`: what one side must not learn from is held still by `frozen` (a network)
or `ops.stop_gradient` (what it made), so that each weight sees the gradient of its own loss alone. Where each step is
one side's turn (`models.generative.game`) groups have `every=ON_ITS_TURN`.
"""

import dataclasses
import functools

import keras
from keras import ops

from models.contract.recipe import Config
from models.training import replicas

ON_ITS_TURN = 0  # `Group.every`: at the steps whose loss depends on the group's part


def schedule(config: Config) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up to the peak, then a cosine down to `final_rate_fraction` of it at the last step."""
    warmup = max(1, round(config.steps * config.warmup_fraction))
    return keras.optimizers.schedules.CosineDecay(
        config.learning_rate / (warmup + 1),  # a rate of zero would waste the first step
        decay_steps=max(1, config.steps - warmup),
        alpha=config.final_rate_fraction,
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )


def optimizer(config: Config, learning_rate: float | None = None, **of_adam) -> keras.optimizers.Optimizer:
    """Adam, or SGD with Nesterov's momentum, on the schedule of the configuration or at a rate that can be assigned.

    Args:
      of_adam: what Adam is given besides: beta_1, say. SGD is not.
    """
    common = {
        "learning_rate": schedule(config) if learning_rate is None else learning_rate,
        "global_clipnorm": config.gradient_clip_norm / replicas.count() or None,  # Keras sums what is clipped
        "weight_decay": config.weight_decay or None,
    }
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(momentum=config.momentum, nesterov=config.momentum > 0, **common)
    return keras.optimizers.Adam(**common, **of_adam)


def compile_model(model: keras.Model, config: Config) -> None:
    """Compiles a model with the one optimizer of its configuration: a recipe's `compile`, if it says nothing else."""
    model.compile(optimizer=optimizer(config))


@dataclasses.dataclass(frozen=True)
class Group:
    """An optimizer and the part of the model that it trains.

    Attributes:
      optimizer: with its own schedule, whose steps are the updates of this group.
      part: a layer; None for all that belongs to no other group.
      every: at which of the training's steps the part is updated: every one, every second, ...; or `ON_ITS_TURN`, where
        not all its gradients are zeros. Gradients are computed at each; they must be dense.
    """

    optimizer: keras.optimizers.Optimizer
    part: keras.Layer | None
    every: int = 1


class Optimizers(keras.optimizers.Optimizer):
    """Several optimizers, each for its part of a model: one to Keras, replicas, loss scaling and state files.

    `apply` may also be given the variables of some groups alone, by a model with a training step of its own; the others
    then stay as they are. `iterations` counts the calls.

    Raises:
      ValueError: a variable belongs to no group or to two; or a group that is not updated at every step decays weights,
        averages them or accumulates gradients, which Keras would do at every step.
    """

    def __init__(self, *groups: Group, name: str = "optimizers"):
        super().__init__(learning_rate=0.0, name=name)
        self.groups = groups
        self._reached = {}  # while they are applied: id of a group -> whether any of its gradients is not zero
        for group in groups:
            if group.every != 1:
                self._skip(group)

    def _skip(self, group: Group) -> None:
        """Lets all that the group's optimizer writes be nothing at the steps that are not its own."""
        one = group.optimizer
        if one.weight_decay or one.use_ema or one.gradient_accumulation_steps:
            raise ValueError("weight decay, moving averages and accumulation take a group that is updated every step")

        def change(method, variable, value):
            method(variable, ops.where(self._is_due(group), value, ops.zeros_like(value)))

        def assign(method, variable, value):
            method(variable, ops.where(self._is_due(group), value, ops.convert_to_tensor(variable)))

        one.assign = functools.partial(assign, one.assign)
        one.assign_add = functools.partial(change, one.assign_add)
        one.assign_sub = functools.partial(change, one.assign_sub)

    def _is_due(self, group: Group):
        if group.every == ON_ITS_TURN:
            return self._reached[id(group)]
        return (self.iterations + 1) % group.every == 0

    def _own(self, group: Group, variables) -> list[int]:
        """Places of a group's variables."""
        parts = [group.part] if group.part is not None else [g.part for g in self.groups if g.part is not None]
        own = {id(v) for part in parts for v in part.trainable_variables}
        return [n for n, variable in enumerate(variables) if (id(variable) in own) == (group.part is not None)]

    def build(self, variables):
        """Makes the variables of all optimizers."""
        places = [self._own(group, variables) for group in self.groups]
        if sorted(n for own in places for n in own) != list(range(len(variables))):
            raise ValueError("each trainable variable must belong to the part of one group")
        for group, own in zip(self.groups, places, strict=True):
            group.optimizer.build([variables[n] for n in own])
        super().build(variables)

    @property
    def variables(self):
        """Its own, then those of each group's optimizer: what a state file holds."""
        return [*super().variables, *(v for group in self.groups for v in group.optimizer.variables)]

    def apply(self, grads, trainable_variables=None):
        """Updates every group of which there are variables."""
        variables = list(trainable_variables or self._trainable_variables)
        if not self.built:
            self.build(variables)
        for group in self.groups:
            if own := self._own(group, variables):
                its = [grads[n] for n in own]
                if group.every == ON_ITS_TURN:
                    if not (found := [ops.any(g != 0) for g in its if g is not None]):
                        continue  # run eagerly, the loss knows nothing of the other side
                    self._reached[id(group)] = ops.any(ops.stack(found))
                group.optimizer.apply(its, [variables[n] for n in own])
                if group.every != 1:
                    group.optimizer.iterations.assign_sub(ops.where(self._is_due(group), 0, 1))
        self.iterations.assign_add(1)

    @property
    def learning_rate(self):
        """The first group's."""
        return self.groups[0].optimizer.learning_rate

    def finalize_variable_values(self, var_list):
        """Puts moving averages in place of the weights, in the groups that keep some."""
        for group in self.groups:
            group.optimizer.finalize_variable_values([var_list[n] for n in self._own(group, var_list)])


def frozen(layer: keras.Layer, *inputs, training: bool = False):
    """What a layer makes of its inputs, with gradients to these and none to its weights; its state stays as it is."""
    weights = [ops.stop_gradient(v) for v in layer.trainable_variables]
    state = [ops.stop_gradient(v) for v in layer.non_trainable_variables]
    return layer.stateless_call(weights, state, *inputs, training=training)[0]
