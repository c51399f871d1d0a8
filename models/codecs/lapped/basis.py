"""Cosine transforms of blocks, and transforms of what these leave: orthonormal matrices, in float64.

What they are expected to find is by the textbook's model of photographs: neighbouring pixels of a colour are correlated
by 0.95, and colours, rotated, not at all.
"""

import math

import numpy as np

BLOCK = 8  # pixels a latent, each way
GROUP = 4  # latents that the second transform takes together, each way
COLOURS = 3
_COLOUR = np.array([[1, 1, 1], [1, 0, -1], [-1, 2, -1]]) / np.sqrt([[3], [2], [6]])
_VARIANCE = np.array((0.1, 0.006, 0.003))  # of brightness and colour differences of photographs, on [0, 1]
_CORRELATION = 0.95
_EVEN = 1e4


def _rows() -> np.ndarray:
    """The cosine transform of eight numbers, [frequency, place]."""
    n = np.arange(BLOCK)
    rows = np.sqrt(2 / BLOCK) * np.cos(np.pi * np.outer(n, 2 * n + 1) / (2 * BLOCK))
    rows[0] /= math.sqrt(2)
    return rows


def _order() -> tuple[np.ndarray, np.ndarray]:
    """The coefficients of a block, the three colours' means first and then by falling variance, and all variances.

    Returns:
      (int [192], of u * 24 + v * 3 + colour; float64 [192] in that place).
    """
    rows, n = _rows(), np.arange(BLOCK)
    spread = np.einsum("ui,ij,uj->u", rows, _CORRELATION ** np.abs(n[:, None] - n), rows)
    variance = np.einsum("u,v,c->uvc", spread, spread, _VARIANCE).reshape(-1)
    return np.array(sorted(range(variance.size), key=lambda n: (n >= COLOURS, -variance[n]))), variance


def cosine_basis() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The orthonormal cosine transform of a block of three colours, and what it is expected to find.

    Returns:
      (float64 [8, 8, 3, 192], of which the last axis counts the coefficients; their variances [192], falling but that
      the three colours' means come first; which colour each is of, int [192]).
    """
    order, variance = _order()
    basis = np.einsum("ui,vj,cd->ijduvc", _rows(), _rows(), _COLOUR).reshape(BLOCK, BLOCK, COLOURS, -1)
    return basis[..., order], variance[order], order % COLOURS


def grouped_basis(count: int) -> tuple[np.ndarray, np.ndarray]:
    """What is best for the first coefficients of 4x4 blocks of that transform, by their expected covariance.

    Neighbouring blocks' means are much alike, and their slopes follow from these: the eigenvectors of the covariance
    (Karhunen-Loeve transform). A coefficient's 16 places hold as many eigenvectors of its colour, those with the
    largest variances where the largest coefficients were.

    Args:
      count: of the coefficients.

    Returns:
      (float64 [16 * count, 16 * count], from places and coefficients to places and coefficients; variances
      [16, count] of what comes out).
    """
    order, _ = _order()
    u, v, colour = (part[:count] for part in (order // 24, order // 3 % BLOCK, order % COLOURS))
    n = np.arange(GROUP * BLOCK)
    blocks = np.kron(np.eye(GROUP), _rows())
    along = blocks @ _CORRELATION ** np.abs(n[:, None] - n) @ blocks.T
    along = along.reshape(GROUP, BLOCK, GROUP, BLOCK)
    down, across = (along[:, part][..., part] for part in (u, v))  # [place, k, place, k]
    covariance = np.einsum("akbl,ckdl->ackbdl", down, across).reshape(GROUP**2 * count, -1)
    basis, variances = np.zeros_like(covariance), np.zeros((GROUP**2, count))
    colours = np.tile(colour, GROUP**2)
    for one in range(min(count, COLOURS)):
        own = np.flatnonzero(colours == one)
        expected = covariance[np.ix_(own, own)] * _VARIANCE[one]
        # What is even all over is to be a single number, whatever the mean of pictures.
        even = np.tile(np.eye(count)[one], GROUP**2)[own]
        _, vectors = np.linalg.eigh(expected + _EVEN * np.trace(expected) * np.outer(even, even))
        vectors = vectors[:, ::-1]
        # Of the colour's coefficients the first has the sixteen largest, and so on.
        places = np.arange(GROUP**2)[None] * count + np.flatnonzero(colour == one)[:, None]
        basis[np.ix_(own, places.reshape(-1))] = vectors
        variances.reshape(-1)[places.reshape(-1)] = np.einsum("ij,ik,kj->j", vectors, expected, vectors)
    return basis, variances
