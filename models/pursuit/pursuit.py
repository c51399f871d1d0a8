"""Matching pursuit over a cone: NNMP, AMP, PWMP and FCMP of arXiv:1705.11041, for a batch of problems at once.

    minimise f(x) over x = sum of a_i z_i with a_i >= 0

All start at x = 0 and ask an oracle for the atom of the steepest slope. Then NNMP goes there or shrinks x, whatever is
steeper; AMP goes there or takes weight off an atom in use; PWMP moves weight from one to the other; FCMP finds the best
weights of all atoms in use. The origin is an atom and may be in use: it is what helps where no atom does.
"""

import functools
from typing import Any, NamedTuple

import keras
from keras import ops

from models.pursuit.problems import Direction, total

ALGORITHMS = ("nnmp", "amp", "pwmp", "fcmp")
_NOISE = {"float64": 1e-9, "float32": 1e-5}  # share of the steepest slopes that may be rounding
_REFRESHED = 100  # steps after which sums are made anew, so that rounding does not add up


class Result(NamedTuple):
    """What a pursuit has come to, for each problem of the batch.

    Attributes:
      weights: [B, K], non-negative. value: f(x), [B].
      steps: taken, int32 [B]. drops: those of them whose cap was met, so that an atom left, int32 [B].
      lowest: min <grad f(x), z> over the atoms that the oracle can name, [B]; optimal: not below 0.
      along: <grad f(x), x>, [B]; optimal: 0. Both together certify the solution.
      gap: max(0, -lowest) * |x| + |along|, [B], where |x| is the sum of the weights.
      history: f before each step and at the end, [steps + 1, B]; None if it was not asked for.
      state: of the problem; holds the bank of atoms that an oracle found.
    """

    weights: Any
    value: Any
    steps: Any
    drops: Any
    lowest: Any
    along: Any
    gap: Any
    history: Any
    state: dict


def pursue(
    problem,
    algorithm: str = "fcmp",
    *,
    steps: int = 1000,
    tolerance: float = 1e-10,
    most: int = 0,
    rounds: int = 1,
    history: bool = False,
) -> Result:
    """Solves a batch of problems, each until it is optimal.

    Args:
      problem: `problems.OnGram` or `problems.OnSignals`. algorithm: one of ALGORITHMS.
      steps: at most. tolerance: a problem is solved when no slope is steeper than this share of the steepest at x = 0:
        neither along an atom, nor along x / |x|.
      most: atoms in use at most (0: no bound); the oracle then names only those.
      rounds: of FCMP's correction where the objective is no quadratic of smoothness 1.
      history: whether the values of every step are kept.

    Raises:
      ValueError: no such algorithm.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"{algorithm}: not one of {', '.join(ALGORITHMS)}")
    step = functools.partial(_corrected, rounds=rounds) if algorithm == "fcmp" else _stepped
    inner = problem.start()
    none = ops.zeros_like(inner["value"])
    scores, _, _ = _slopes(problem, inner, most)
    loop = {
        "state": inner,
        "time": ops.zeros((), "int32"),
        "steps": ops.cast(none, "int32"),
        "drops": ops.cast(none, "int32"),
        "active": ops.cast(none + 1, "bool"),
        "history": _kept(inner["value"], steps) if history else none,
    }
    floor = tolerance * scores

    def body(loop):
        old = loop["state"]
        if algorithm != "fcmp":
            old = ops.cond(loop["time"] % _REFRESHED == _REFRESHED - 1, lambda: problem.refreshed(old), lambda: old)
        lowest, found, slot = _slopes(problem, old, most)
        along = ops.sum(old["weights"] * problem.scores(old), axis=1)
        unsolved = ops.logical_or(lowest > floor, ops.abs(along) > floor * total(old["weights"]))
        active = ops.logical_and(loop["active"], unsolved)
        new, dropped, moved = step(problem, algorithm, found, slot, along, active)
        active = ops.logical_and(active, moved)
        kept = {name: _chosen(active, new[name], found[name]) for name in new}
        time = loop["time"] + 1
        values = ops.slice_update(loop["history"], (time, 0), kept["value"][None]) if history else loop["history"]
        return {
            "state": kept, "time": time, "active": active, "history": values,
            "steps": loop["steps"] + ops.cast(active, "int32"),
            "drops": loop["drops"] + ops.cast(ops.logical_and(active, dropped), "int32"),
        }  # fmt: skip

    done = ops.while_loop(lambda loop: ops.any(loop["active"]), body, loop, maximum_iterations=steps)
    return _result(problem, done, history)


def _kept(value, steps: int):
    """Room for the values [steps + 1, B]; a problem that is solved keeps its last one."""
    return ops.repeat(value[None], steps + 1, axis=0)


def _open(weights, most: int):
    """The slots that an oracle may name, bool [B, K]: all, or those in use where `most` are."""
    in_use = weights > 0
    if not most:
        return ops.ones_like(in_use)
    return ops.logical_or(in_use, ops.sum(ops.cast(in_use, "int32"), axis=1, keepdims=True) < most)


def _slopes(problem, state, most: int):
    """How steep the oracle's atom is downwards [B] (0: none helps), the state that knows it, and its slot [B]."""
    found, slot = problem.oracle(state, _open(state["weights"], most))
    lowest = ops.squeeze(ops.take_along_axis(problem.scores(found), slot[:, None], axis=1), axis=1)
    return ops.maximum(-lowest, 0), found, slot


def _chosen(active, new, old):
    """New values where a problem is active, any tensors [B, ...]; a bank without tensors stays as it is."""
    if not hasattr(new, "shape"):
        return old
    return ops.where(ops.reshape(active, (-1,) + (1,) * (len(new.shape) - 1)), new, old)


def _stepped(problem, algorithm: str, state, z, along, active):
    """One step of NNMP, AMP or PWMP: the state after it, whether its cap was met, whether there was a way down, [B]."""
    del active
    weights, scores = state["weights"], problem.scores(state)
    lowest = ops.minimum(ops.squeeze(ops.take_along_axis(scores, z[:, None], axis=1), axis=1), 0)
    in_use = ops.where(weights > 0, scores, -float("inf"))
    highest = ops.maximum(ops.max(in_use, axis=1), 0)  # of the atoms in use and the origin
    # After an exact step the atoms it moved have one slope, or none. What differs by mere rounding must not choose: of
    # equals the first is taken, and before all the origin.
    slack = _NOISE[keras.backend.standardize_dtype(weights.dtype)] * (highest - lowest)
    v = ops.cast(ops.argmax(ops.cast(in_use >= (highest - slack)[:, None], "int32"), axis=1), "int32")
    gains, loses = ops.cast(-lowest > slack, scores.dtype), ops.cast(highest > slack, scores.dtype)
    none = ops.zeros_like(along)
    if algorithm == "nnmp":
        shrinking = -along / total(weights)  # slope towards the origin
        shrink = ops.cast(shrinking < lowest, scores.dtype)
        direction, slope = Direction(z, v, gains * (1 - shrink), none, shrink), ops.minimum(lowest, shrinking)
    elif algorithm == "amp":
        towards = ops.cast(lowest <= -highest, scores.dtype)
        direction = Direction(z, v, gains * towards, loses * (1 - towards), none)
        slope = ops.minimum(lowest, -highest)
    else:
        direction, slope = Direction(z, v, gains, loses, none), lowest - highest
    new, capped = problem.moved(state, direction, slope)
    reduces = direction.minus + direction.shrink > 0
    return new, ops.logical_and(capped, reduces), slope < 0


def _corrected(problem, algorithm: str, state, z, along, active, rounds: int):
    """One step of FCMP; as `_stepped`."""
    del algorithm, along
    scores = problem.scores(state)
    helps = ops.squeeze(ops.take_along_axis(scores, z[:, None], axis=1), axis=1) < 0
    new = problem.corrected(state, z, rounds, active)
    left = ops.any(ops.logical_and(state["weights"] > 0, new["weights"] <= 0), axis=1)
    # Without another atom a correction may still go on, where once was not enough.
    return new, left, ops.logical_or(helps, new["value"] < state["value"])


def _result(problem, loop, history: bool) -> Result:
    state = problem.refreshed(loop["state"])
    steepest, found, _ = _slopes(problem, state, 0)
    scores = problem.scores(found)
    lowest = ops.where(steepest > 0, -steepest, ops.min(scores, axis=1))
    along = ops.sum(state["weights"] * problem.scores(state), axis=1)
    gap = steepest * ops.sum(state["weights"], axis=1) + ops.abs(along)
    if history:
        later = ops.arange(loop["history"].shape[0])[:, None] > loop["time"]
        values = ops.where(later, loop["state"]["value"][None], loop["history"])
    else:
        values = None
    return Result(state["weights"], state["value"], loop["steps"], loop["drops"], lowest, along, gap, values, found)
