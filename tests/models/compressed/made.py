"""Small classifiers that were never trained, and their weights after k-means."""

import keras
import numpy as np

from models.compressed.coded import Coded, as_half, kernels_of, rest_of
from models.contract import registry
from models.layers.vector_quantizer import assigned, kmeans


def coded_of(model, count: int, half: bool = True) -> Coded:
    """A classifier's kernels with so many values."""
    flat = np.concatenate([np.ravel(k) for k in kernels_of(model.network)])[:, None]
    centres = kmeans(flat, count)
    rest = [as_half(np.array(w)) if half else np.array(w) for w in rest_of(model.network)]
    sizes = [int(np.prod(k.shape)) for k in kernels_of(model.network)]
    return Coded(centres[:, 0], assigned(flat, centres).astype(np.int32), sizes, rest, half)


def built(name: str, **options):
    """(recipe, configuration, classifier) for three classes of pictures of 16 pixels."""
    recipe = registry.get(name)
    config = recipe.make_config("small", {"classes": 3, "image_size": 16} | options)
    keras.utils.set_random_seed(2)
    return recipe, config, recipe.build(config)
