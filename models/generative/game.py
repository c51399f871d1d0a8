"""A game of two: a generator that is kept, and a critic that it is trained against and that is never served.

    turn     0        1        ...  n - 1    n            n + 1 ...
    learns   critic   critic   ...  critic   generator    critic ...        n = critic_steps, one batch a turn

    class Codec(Game):
        def __init__(self, config):
            super().__init__(config)
            self.network, self.critic = ..., ...

        def example(self):                       # a batch of zeros, from which every variable is made
        def generate(self, x):                   # what the network gives outside of training
        def generator_loss(self, batch, training):
            return loss, {"mse": mse, ...}       # scalars; every term is logged by itself
        def critic_loss(self, batch, training):
            return loss, {"real": real, ...}

    RECIPE = Recipe(..., compile=compile_game)

It is all said in `compute_loss`, so that the one loop trains it, on either backend, on several devices, in mixed
precision, and a killed training goes on at the turn where it was: whose turn it is lies in a weight. A step pays for
its own side alone: the other's weights are constants in it, and only one branch is run.
"""

import dataclasses
from typing import Any, NamedTuple

import keras
from keras import ops

from models.contract.configured import Configured
from models.contract.recipe import Config, option
from models.training.optimizers import ON_ITS_TURN, Group, Optimizers, optimizer

_DRAWS = 64  # of one generator of random numbers in a turn, before they are those of the next one


@dataclasses.dataclass(frozen=True)
class GameConfig(Config):
    """Options of a game. Of n + 1 `steps` n are the critic's turns, the last is the generator's."""

    critic_steps: int = option(1, "updates of the critic before each of the generator (n)", low=1)
    critic_rate: float = option(1.0, "peak learning rate of the critic over the generator's", low=0.0)
    first_moment: float = option(0.5, "decay of the mean gradient in Adam (beta 1)", low=0.0, high=1.0)
    average: float = option(
        0.999, "decay of the moving average of the generator's weights that is served; 0: the last weights",
        low=0.0, high=1.0,
    )  # fmt: skip


class Batch(NamedTuple):
    """What a turn is played with: inputs, what they should give, weights [B] of the examples; None for what is not."""

    x: Any
    y: Any = None
    weight: Any = None

    @property
    def examples(self):
        """How many: batches of means of terms count by it. float32 scalar."""
        return ops.cast(ops.shape(keras.tree.flatten(self.x)[0])[0], "float32")


class Game(Configured):
    """See the module. `critic` is a layer, or None: then every turn is the generator's.

    The trainable weights that are not the critic's are the generator's. Both losses may make what they need of both
    sides; nothing need be held still by `frozen` or `stop_gradient`. What couples the examples of a batch over several
    devices (`models.training.replicas`) cannot be said in a turn: TensorFlow gathers nothing within a branch.

    Averages: of so many of the generator's updates that `average` says, fewer at the beginning, as of one that was
    initialised by the first weights. Statistics of batches are not averaged. `call` outside of training
    and validation work with them.
    """

    config_class = GameConfig
    critic: keras.Layer | None = None

    def __init__(self, config: GameConfig, **kwargs):
        super().__init__(config, **kwargs)
        self.turn = self._state("turn", (), "int32")

    def _state(self, name: str, shape: tuple, dtype: str = "float32"):
        return self.add_weight(name=name, shape=shape, dtype=dtype, initializer="zeros", trainable=False,
                               autocast=False, aggregation="only_first_replica")  # fmt: skip

    def example(self) -> Batch:
        """A batch of zeros, as `inputs` gives them."""
        raise TypeError(f"{type(self).__name__} must say in `example` a batch of zeros")

    def generate(self, x):
        """What the generator gives for inputs outside of training."""
        raise TypeError(f"{type(self).__name__} must say in `generate` what the generator gives")

    def generator_loss(self, batch: Batch, training: bool):
        """(scalar that the generator minimises, its terms by name, scalars)."""
        raise TypeError(f"{type(self).__name__} must say in `generator_loss` what the generator minimises")

    def critic_loss(self, batch: Batch, training: bool):
        """Likewise of the critic; names that the generator's terms do not have."""
        raise TypeError(f"{type(self).__name__} must say in `critic_loss` what the critic minimises")

    def build(self, input_shape=None):
        """Makes every variable: of both sides, of the averages, and a metric for each term."""
        batch = self.example()
        terms = self.generator_loss(batch, False)[1]
        if self.critic is not None:
            terms = self.critic_loss(batch, False)[1] | terms
        self.trackers = {name: keras.metrics.Mean(name=name) for name in terms}
        critics = {id(v) for v in (self.critic.variables if self.critic is not None else [])}
        own = tuple(v for v in self.trainable_variables if id(v) not in critics)
        self._generators = lambda: own  # a list would be tracked, and saved twice; a phase may freeze some
        weights = own if self.config.average else ()
        self.averages = [self._state(f"average_{n}", v.shape) for n, v in enumerate(weights)]
        self.restart()
        self.built = True

    def restart(self) -> None:
        """Lets the averages begin with the generator's weights, which came from elsewhere."""
        for average, variable in zip(self.averages, self._generators(), strict=False):
            average.assign(ops.convert_to_numpy(variable))  # a buffer of its own

    def settle(self) -> None:
        """Gives the generator its averages for weights, as it is served and handed on."""
        for average, variable in zip(self.averages, self._generators(), strict=False):
            variable.assign(ops.convert_to_numpy(average))

    @property
    def turns(self) -> int:
        """Steps of a round, in which each side has had its turns."""
        return 1 if self.critic is None else self.config.critic_steps + 1

    def call(self, x, training=None):
        """`generate`, with averaged weights. In training nothing is made here: it depends on whose turn it is."""
        if training:
            return x
        with self._scope(averaged=True):
            return self.generate(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss of the side whose turn it is; the generator's outside of training. Scalar."""
        batch = Batch(x, y, sample_weight)
        if not training:
            return self._validated(batch)
        changed = set()
        if self.turns == 1:
            is_critics, found = False, self._played(self.generator_loss, batch, (), changed)
        else:
            is_critics = self.turn.value % self.turns < self.turns - 1
            found = ops.cond(
                is_critics,
                lambda: self._played(self.critic_loss, batch, self._generators(), changed),
                lambda: self._played(self.generator_loss, batch, self.critic.trainable_variables, changed),
            )
        loss, terms, state = found
        self._average(is_critics)
        for n, (variable, value) in enumerate(zip(self._stateful(), state, strict=True)):
            if n in changed and not _is_seed(variable):
                variable.assign(ops.stop_gradient(value))
        for tracker, (value, is_there) in zip(self.trackers.values(), terms, strict=True):
            tracker.update_state(ops.stop_gradient(value), sample_weight=is_there * batch.examples)
        self.turn.assign(self.turn.value + 1)
        return loss

    def _played(self, loss_of, batch: Batch, constants, changed: set):
        """What a branch returns: loss, (value, whether it has one) of every term, values of what is state.

        Args:
          constants: weights that learn nothing. changed: gets the places of the state that has changed.
        """
        with self._scope(constants, turn=self.turn.value) as scope:
            before = [scope.get_current_value(v) for v in self._stateful()]
            loss, terms = loss_of(batch, True)
            state = [scope.get_current_value(v) for v in self._stateful()]
        changed |= {n for n, (old, new) in enumerate(zip(before, state, strict=True)) if old is not new}
        none = (ops.zeros(()), ops.zeros(()))
        known = [(ops.cast(terms[n], "float32"), ops.ones(())) if n in terms else none for n in self.trackers]
        return ops.cast(loss, "float32"), known, state

    def _validated(self, batch: Batch):
        with self._scope(averaged=True):
            loss, terms = self.generator_loss(batch, False)
            if self.critic is not None:
                terms = terms | self.critic_loss(batch, False)[1]
        for name, value in terms.items():
            self.trackers[name].update_state(value, sample_weight=batch.examples)
        return loss

    def _scope(self, constants=(), averaged: bool = False, turn=None) -> keras.StatelessScope:
        """Where weights are what they are, or constants, or averages, and state changes for its time alone.

        What is random in a turn depends on the turn and on nothing before it: Keras saves no state of its generators.
        """
        values = {id(v): v.value for v in self.variables}
        if turn is not None:
            values |= {id(v): _seed_at(v, turn) for v in self.variables if _is_seed(v)}
        values |= {id(v): ops.stop_gradient(v.value) for v in constants}
        if averaged and self.averages:
            values |= {id(v): a.value for v, a in zip(self._generators(), self.averages, strict=True)}
        return keras.StatelessScope([(v, values[id(v)]) for v in self.variables], initialize_variables=False)

    def _stateful(self) -> list:
        own = {id(v) for v in (self.turn, *self.averages)}
        return [v for v in self.non_trainable_variables if id(v) not in own]

    def _average(self, is_critics) -> None:
        """Moves the averages before an update of the generator."""
        updates = ops.cast(self.turn.value // self.turns, "float32")
        moved = 1.0 - ops.minimum(self.config.average, (1.0 + updates) / (10.0 + updates))
        share = ops.where(is_critics, 0.0, moved)
        for average, variable in zip(self.averages, self._generators(), strict=False):
            average.assign(average + share * (ops.stop_gradient(ops.cast(variable.value, "float32")) - average))


def _is_seed(variable) -> bool:
    return variable.name == "seed_generator_state"


def _seed_at(variable, turn):
    """The state [2] of a generator of random numbers at the beginning of a turn."""
    return ops.stack([variable.value[0], ops.cast(_DRAWS * turn, variable.dtype)])


def compile_game(model: Game, config: GameConfig) -> None:
    """Compiles a game: an optimizer for each side, whose schedule counts its own updates."""
    rounds = max(1, config.steps // model.turns)
    generators = optimizer(dataclasses.replace(config, steps=rounds), beta_1=config.first_moment)
    if model.critic is None:
        model.compile(optimizer=generators)
        return
    peak = config.learning_rate * config.critic_rate
    theirs = dataclasses.replace(config, steps=rounds * config.critic_steps, learning_rate=peak)
    critics = optimizer(theirs, beta_1=config.first_moment)
    model.compile(optimizer=Optimizers(Group(generators, None, ON_ITS_TURN), Group(critics, model.critic, ON_ITS_TURN)))
