"""A batch of problems as the algorithms ask them: slopes along atoms, steps along a direction, corrections.

`OnGram` is least squares over a finite dictionary, where inner products say it all and a step costs O(K); `OnSignals`
is any smooth objective over any set of atoms. Their states are dicts with "weights" [B, K], "value" f(x) [B], and what
else they carry from step to step.
"""

from typing import Any, NamedTuple

from keras import ops

_TINY = 1e-30


class Direction(NamedTuple):
    """plus * atom(z) - minus * atom(v) - shrink * x / |x|: slots z, v int32 [B]; the others 0 or 1, [B].

    |x| is the sum of the weights, the bound of the gauge that a stored sum gives.
    """

    z: Any
    v: Any
    plus: Any
    minus: Any
    shrink: Any


def _of_slot(values, slots):
    """values [B, K] at slots [B] -> [B]."""
    return ops.squeeze(ops.take_along_axis(values, slots[:, None], axis=1), axis=1)


def total(weights):
    """Sums of weights [B], never quite zero."""
    return ops.maximum(ops.sum(weights, axis=1), _TINY)


def _caps(weights, direction: Direction):
    """How far one may go, [B]: no weight below zero. Only what is reduced has a cap."""
    cap = ops.where(direction.minus > 0, _of_slot(weights, direction.v), float("inf"))
    return ops.where(direction.shrink > 0, ops.sum(weights, axis=1), cap)


def _moved_weights(weights, direction: Direction, step):
    """Weights after a step [B]; the one whose cap binds is zero exactly."""
    count, dtype = weights.shape[1], weights.dtype
    share = 1 - step * direction.shrink / total(weights)
    weights = weights * share[:, None]
    weights = weights + (step * direction.plus)[:, None] * ops.one_hot(direction.z, count, dtype=dtype)
    weights = weights - (step * direction.minus)[:, None] * ops.one_hot(direction.v, count, dtype=dtype)
    return ops.maximum(weights, 0)


class OnGram:
    """Least squares |x - y|^2 / 2 over a dictionary, all in inner products.

    Args:
      gram: of the atoms, [K, K]. target: of the signals with the atoms, [B, K]. energy: |y|^2 / 2, [B].
    """

    def __init__(self, gram, target, energy):
        self.gram, self.target, self.energy, self.slots = gram, target, energy, gram.shape[0]

    @classmethod
    def of(cls, atoms, signals) -> "OnGram":
        """The problems of signals [B, d] and atoms [K, d]."""
        across = ops.transpose(atoms)
        return cls(ops.matmul(atoms, across), ops.matmul(signals, across), 0.5 * ops.sum(ops.square(signals), axis=1))

    def start(self) -> dict:
        """x = 0."""
        none = ops.zeros_like(self.target)
        return {"weights": none, "product": none, "value": self.energy}

    def scores(self, state):
        """Slopes <grad f(x), atom>, [B, K]."""
        return state["product"] - self.target

    def oracle(self, state, open_slots):
        """The state, and the open slot of the steepest atom, int32 [B]."""
        scores = ops.where(open_slots, self.scores(state), float("inf"))
        return state, ops.cast(ops.argmin(scores, axis=1), "int32")

    def moved(self, state, direction: Direction, slope):
        """The state after an exact step, and whether its cap was met, bool [B]; slope is that of the direction, [B]."""
        weights, product = state["weights"], state["product"]
        change = direction.plus[:, None] * ops.take(self.gram, direction.z, axis=0)
        change = change - direction.minus[:, None] * ops.take(self.gram, direction.v, axis=0)
        change = change - (direction.shrink / total(weights))[:, None] * product
        bend = direction.plus * _of_slot(change, direction.z) - direction.minus * _of_slot(change, direction.v)
        bend = bend - direction.shrink * ops.sum(weights * change, axis=1) / total(weights)
        cap = _caps(weights, direction)
        wanted = -slope / ops.maximum(bend, 1e-14)
        step = ops.minimum(wanted, cap)
        weights = _moved_weights(weights, direction, step)
        return self._state(weights, product + step[:, None] * change), wanted >= cap

    def _state(self, weights, product) -> dict:
        value = self.energy + ops.sum(weights * (0.5 * product - self.target), axis=1)
        return {"weights": weights, "product": product, "value": value}

    def refreshed(self, state) -> dict:
        """The same state with nothing left of rounding."""
        return self._state(state["weights"], ops.matmul(state["weights"], self.gram))

    def corrected(self, state, slot, rounds: int, unsolved):
        """The best weights of the atoms in use and the one at `slot` [B]; once is enough. unsolved: bool [B]."""
        from models.pursuit import active_set

        del rounds
        weights = state["weights"]
        new = ops.one_hot(slot, self.slots, dtype="bool")
        allowed = ops.logical_or(weights > 0, new)
        weights = active_set.corrected(self.gram, self.target, allowed, weights, new, unsolved)
        return self.refreshed({"weights": weights})


class OnSignals:
    """Any smooth objective over any atoms.

    Args:
      atoms: as of `models.pursuit.atoms`. objective: a `models.pursuit.objectives.Smooth`.
      like: a tensor [B, d] of the signals' shape and type.
    """

    def __init__(self, atoms, objective, like):
        self.atoms, self.objective, self.slots = atoms, objective, atoms.slots
        self.like = ops.zeros_like(like)

    def start(self) -> dict:
        """x = 0."""
        count = ops.shape(self.like)[0]
        smoothness = 1.0 if self.objective.smoothness is None else self.objective.smoothness
        smoothness = ops.zeros((count,), self.like.dtype) + smoothness
        weights = ops.zeros((count, self.slots), self.like.dtype)
        return self._state(weights, self.like, self.atoms.start(self.like), smoothness)

    def _state(self, weights, x, bank, smoothness) -> dict:
        f = self.objective
        return {"weights": weights, "x": x, "bank": bank, "gradient": f.gradient(x), "value": f.value(x),
                "smoothness": smoothness}  # fmt: skip

    def scores(self, state):
        """Slopes <grad f(x), atom>, [B, K]."""
        return self.atoms.scores(state["bank"], state["gradient"])

    def oracle(self, state, open_slots):
        """The state, which may hold another atom now, and the open slot of the steepest one, int32 [B]."""
        bank, slot = self.atoms.oracle(state["bank"], state["gradient"], state["weights"], open_slots)
        return state | {"bank": bank}, slot

    def moved(self, state, direction: Direction, slope):
        """The state after a step, and whether its cap was met, bool [B].

        The step is exact for a quadratic, else slope / (L |d|^2), with L doubled while its bound does not hold if it is
        not known.
        """
        weights, x = state["weights"], state["x"]
        along = direction.plus[:, None] * self.atoms.take(state["bank"], direction.z)
        along = along - direction.minus[:, None] * self.atoms.take(state["bank"], direction.v)
        along = along - (direction.shrink / total(weights))[:, None] * x
        cap, smoothness = _caps(weights, direction), state["smoothness"]
        if self.objective.curvature:
            bend = self.objective.curvature(along)
        else:
            square = ops.sum(ops.square(along), axis=1)
            if self.objective.smoothness is None:
                smoothness = self._fitting(state, along, square, slope, cap)
            bend = smoothness * square
        wanted = -slope / ops.maximum(bend, 1e-14)
        step = ops.minimum(wanted, cap)
        weights = _moved_weights(weights, direction, step)
        return self._state(weights, x + step[:, None] * along, state["bank"], smoothness), wanted >= cap

    def _fitting(self, state, along, square, slope, cap):
        """L [B] whose quadratic bound holds for its step: half of the last one, doubled as often as it takes."""

        def step_of(smoothness):
            return ops.minimum(-slope / ops.maximum(smoothness * square, 1e-14), cap)

        def fails(smoothness):
            step = step_of(smoothness)
            bound = state["value"] + step * slope + 0.5 * smoothness * square * ops.square(step)
            slack = 1e-12 * ops.abs(state["value"])
            return self.objective.value(state["x"] + step[:, None] * along) > bound + slack

        return _doubled(fails, 0.5 * state["smoothness"])

    def refreshed(self, state) -> dict:
        """The same state with nothing left of rounding."""
        x = self.atoms.combine(state["bank"], state["weights"])
        return self._state(state["weights"], x, state["bank"], state["smoothness"])

    def corrected(self, state, slot, rounds: int, unsolved):
        """Minimises over the atoms in use and the one at `slot` [B] the quadratic bound of f, `rounds` times.

        Once is variant 0 of the algorithm; many times come to its variant 1, the objective itself. unsolved: bool [B].
        """
        new = ops.one_hot(slot, self.slots, dtype="bool")
        allowed = ops.logical_or(state["weights"] > 0, new)
        gram = self.atoms.grams(state["bank"])
        for _ in range(rounds):
            state, new = self._bounded(state, gram, allowed, new, unsolved), None
        return state

    def _bounded(self, state, gram, allowed, new, unsolved) -> dict:
        """The least point of the quadratic bound of f at x over the cone of the allowed atoms."""
        from models.pursuit import active_set

        def least(smoothness):
            target = self.atoms.scores(state["bank"], state["x"] - state["gradient"] / smoothness[:, None])
            weights = active_set.corrected(gram, target, allowed, state["weights"], new, unsolved)
            return weights, self.atoms.combine(state["bank"], weights)

        def fails(smoothness):
            x = least(smoothness)[1]
            way = x - state["x"]
            bound = state["value"] + ops.sum(state["gradient"] * way + 0.5 * smoothness[:, None] * way * way, axis=1)
            return self.objective.value(x) > bound + 1e-12 * ops.abs(state["value"])

        smoothness = state["smoothness"]
        if self.objective.smoothness is None:
            smoothness = _doubled(fails, 0.5 * smoothness)
        weights, x = least(smoothness)
        return self._state(weights, x, state["bank"], smoothness)


def _doubled(fails, smoothness, most: int = 60):
    """L [B], each doubled while it fails: `fails` says of L whether, bool [B]."""

    def body(smoothness, failing):
        smoothness = ops.where(failing, 2 * smoothness, smoothness)
        return smoothness, fails(smoothness)

    return ops.while_loop(
        lambda smoothness, failing: ops.any(failing), body, (smoothness, fails(smoothness)), maximum_iterations=most
    )[0]
