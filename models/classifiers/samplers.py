"""How the batches of a distillation are drawn: uniformly over classes, or within groups of classes that look alike.

CCKD (arXiv:1904.01802, section 3.4): a matrix of correlations says little if nearly all pairs are of different classes.
"""

from collections.abc import Iterator

import numpy as np

from models.layers.vector_quantizer import assigned, kmeans

SAMPLERS = ("uniform", "class_uniform", "superclass_uniform")


def class_uniform(labels: np.ndarray, batch_size: int, per_class: int, seed: int) -> Iterator[np.ndarray]:
    """Endless batches of `batch_size / per_class` different classes, `per_class` examples of each.

    A class goes through its examples in a random order before one comes again; a class with fewer than `per_class`
    gives some of them twice in a batch.

    Args:
      labels: int [N]. batch_size: a multiple of per_class. seed: decides everything.

    Yields:
      Positions in `labels`, int64 [batch_size].

    Raises:
      ValueError: per_class does not divide the batch, or the batch asks for more classes than there are.
    """
    classes = np.unique(labels)
    yield from _drawn(labels, [classes], batch_size, per_class, seed)


def superclass_uniform(
    labels: np.ndarray, superclasses: np.ndarray, batch_size: int, per_class: int, seed: int
) -> Iterator[np.ndarray]:
    """As `class_uniform`, all classes of a batch from one superclass, which is drawn uniformly.

    A superclass with fewer classes than the batch asks for gives more examples of each of its classes.

    Args:
      superclasses: int [K], the superclass of each class.
    """
    labels = np.asarray(labels)
    present = np.unique(labels)
    groups = [present[superclasses[present] == s] for s in np.unique(superclasses[present])]
    yield from _drawn(labels, groups, batch_size, per_class, seed, fill=True)


def _drawn(labels, groups, batch_size, per_class, seed, fill=False) -> Iterator[np.ndarray]:
    if per_class < 1 or batch_size % per_class:
        raise ValueError(f"a batch of {batch_size} cannot hold {per_class} examples of each of its classes")
    wanted = batch_size // per_class
    if not fill and wanted > len(groups[0]):
        raise ValueError(
            f"a batch of {batch_size} with {per_class} of a class wants {wanted} classes, there are {len(groups[0])}"
        )
    random = np.random.default_rng(seed)
    queues = {c: _shuffled(np.flatnonzero(labels == c), random) for group in groups for c in group}
    while True:
        group = groups[random.integers(len(groups))]
        chosen = random.choice(group, wanted, replace=False) if wanted <= len(group) else np.resize(group, wanted)
        yield np.array([next(queues[c]) for c in chosen for _ in range(per_class)], np.int64)


def _shuffled(places: np.ndarray, random: np.random.Generator) -> Iterator[int]:
    """The places in a random order, again and again."""
    while True:
        yield from random.permutation(places)


def superclasses_of(
    features: np.ndarray, labels: np.ndarray, classes: int, count: int = 0, seed: int = 1
) -> np.ndarray:
    """Groups classes by k-means on the means of their unit feature vectors.

    Args:
      features: the teacher's, [N, D]. labels: int [N]. classes: K.
      count: of superclasses; 0 is max(2, sqrt(K)), rounded. The paper does not give it.
      seed: of the first centres.

    Returns:
      int64 [K]; a class without examples is in superclass 0.
    """
    rows = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    present = np.unique(labels)
    means = np.stack([rows[labels == c].mean(0) for c in present])
    count = min(count or max(2, round(classes**0.5)), len(present))
    found, best = None, np.inf
    for start in range(10):  # k-means ends where it starts badly
        centres = kmeans(means, count, seed + start)
        groups = assigned(means, centres)
        error = np.square(means - centres[groups]).sum()
        if error < best:
            found, best = groups, error
    result = np.zeros(classes, np.int64)
    result[present] = found
    return result
