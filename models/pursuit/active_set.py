"""Non-negative least squares on few atoms each, of many problems at once: the correction of fully corrective pursuit.

Lawson and Hanson's active set, started from weights that are there. Only the atoms in use are gathered, padded to the
longest of those problems that are not solved yet, so that a step costs what its supports do.
"""

import tensorflow as tf

_RIDGE = 1e-12  # of a Gram matrix's diagonal, so that equal atoms do not stop the factorisation


def corrected(gram, target, allowed, weights, newcomers=None, unsolved=None, *, tolerance: float = 1e-12) -> tf.Tensor:
    """argmin over a >= 0, zero outside `allowed`, of a'Ga / 2 - b'a, for each problem.

    Args:
      gram: G, inner products of the atoms, float64 [K, K], or [B, K, K] for atoms that differ between problems.
      target: b, inner products of the signals with the atoms, [B, K]. allowed: bool [B, K].
      weights: where it starts, [B, K], non-negative. newcomers: bool [B, K], at most one atom a problem that is tried
        at once, though it has no weight yet. unsolved: bool [B], the problems that are to be solved; all, if not given.
      tolerance: a slope below it, times the largest |b| of a problem, is none.

    Returns:
      a, [B, K].
    """
    count, atoms = tf.shape(weights)[0], tf.shape(weights)[1]
    floor = tolerance * tf.reduce_max(tf.abs(target), axis=1)

    def body(used, a, allowed, left):
        rows = tf.where(left)[:, 0]
        own = gram if gram.shape.rank == 2 else tf.gather(gram, rows)
        used_, a_, allowed_, b = (tf.gather(v, rows) for v in (used, a, allowed, target))
        used_, a_, allowed_, left_ = _round(own, b, used_, a_, allowed_, tf.gather(floor, rows))
        places = rows[:, None]
        pairs = ((used, used_), (a, a_), (allowed, allowed_), (left, left_))
        return tuple(tf.tensor_scatter_nd_update(old, places, new) for old, new in pairs)

    weights = weights * tf.cast(allowed, weights.dtype)
    used = weights > 0
    used = used if newcomers is None else tf.logical_or(used, tf.logical_and(newcomers, allowed))
    start = (used, weights, allowed, tf.fill([count], True) if unsolved is None else unsolved)
    most = 10 + 4 * atoms
    return tf.while_loop(lambda *s: tf.reduce_any(s[3]), body, start, maximum_iterations=most)[1]


def _round(gram, b, used, a, allowed, floor):
    """One solution on the atoms in use: it is taken if it is non-negative, else one goes towards it up to the edge."""
    solution, slopes = _solve(gram, b, used)
    below = tf.logical_and(used, solution <= 0)
    inside = tf.logical_not(tf.reduce_any(below, axis=1))
    # Up to the edge: the first weights that come to nothing leave.
    shares = tf.where(below, a / tf.maximum(a - solution, 1e-300), tf.constant(1.0, a.dtype))
    share = tf.reduce_min(shares, axis=1, keepdims=True)
    moved = tf.maximum(a + share * (solution - a), 0.0)
    leaves = tf.logical_and(below, shares <= share)
    # One that leaves at once had no weight: tried again, it would come and go for ever.
    kept = tf.logical_and(allowed, tf.logical_not(tf.logical_and(leaves, share <= 0)))
    # Inside: of the atoms that wait, the steepest comes.
    waiting = tf.where(tf.logical_and(kept, tf.logical_not(used)), slopes, tf.constant(0.0, a.dtype))
    steepest = tf.argmin(waiting, axis=1)
    more = tf.reduce_min(waiting, axis=1) < -floor
    comes = tf.logical_and(tf.one_hot(steepest, tf.shape(a)[1], True, False), more[:, None])
    inside_ = inside[:, None]
    used = tf.where(inside_, tf.logical_or(used, comes), tf.logical_and(used, tf.logical_not(leaves)))
    a = tf.where(inside_, solution, tf.where(leaves, tf.zeros_like(a), moved))
    return used, a, kept, tf.logical_or(tf.logical_not(inside), more)


def _solve(gram, b, used):
    """Solutions of G a = b on the atoms in use, [B, K], zero elsewhere, and all slopes G a - b there."""
    atoms = tf.shape(b)[1]
    width = tf.maximum(1, tf.reduce_max(tf.reduce_sum(tf.cast(used, tf.int32), axis=1)))
    in_use, places = tf.math.top_k(tf.cast(used, tf.int32), width)  # of equals the first come first
    real = tf.cast(in_use, b.dtype)
    flat = places[:, :, None] * atoms + places[:, None, :]
    shared = gram.shape.rank == 2
    if shared:
        part = tf.gather(tf.reshape(gram, [-1]), flat)
    else:
        part = tf.gather(tf.reshape(gram, [tf.shape(gram)[0], atoms * atoms]), flat, batch_dims=1)
    part = part * real[:, :, None] * real[:, None, :]
    diagonal = tf.linalg.diag_part(part)
    factor = tf.linalg.cholesky(tf.linalg.set_diag(part, diagonal * (1 + _RIDGE) + (1 - real) + 1e-300))
    wanted = (tf.gather(b, places, batch_dims=1) * real)[:, :, None]
    found = tf.linalg.cholesky_solve(factor, wanted)
    found += tf.linalg.cholesky_solve(factor, wanted - part @ found)  # what the ridge has changed
    solution = tf.scatter_nd(
        tf.stack([tf.broadcast_to(tf.range(tf.shape(b)[0])[:, None], tf.shape(places)), places], -1),
        found[:, :, 0] * real, tf.shape(b),
    )  # fmt: skip
    product = solution @ gram if shared else tf.linalg.matvec(gram, solution)
    return solution, product - b
