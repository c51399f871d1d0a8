"""Teachers: a model of ours, or one of the user's own (a `.keras` file or a SavedModel), brought to one form.

What the rest sees is a frozen Keras model from pixels [B, S, S, 3] in [0, 1] to a dict: "logits" [B, K] and the
features that were asked for.
"""

import dataclasses
import pathlib
from collections.abc import Collection

import keras
import numpy as np
from keras import ops

from models.contract import registry
from models.contract.recipe import ConfigError
from models.publishing import pushed

RANGES = {"0..1": (1.0, 0.0), "0..255": (255.0, 0.0), "-1..1": (2.0, -1.0)}  # scale, offset of pixels in [0, 1]
OUTPUTS = ("auto", "logits", "probabilities")
_LEAST = 1e-7  # below this a probability says no more than that the class is out of the question


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A teacher as it was found.

    Attributes:
      path: where it lies, for messages. network: Functional model, pixels to logits or probabilities.
      names: features that can be asked for. range: of its pixels, a key of RANGES. output: one of OUTPUTS.
    """

    path: str
    network: keras.Model
    names: list[str]
    range: str = "0..1"
    output: str = "logits"

    def features(self, names: Collection[str] = ()) -> keras.Model:
        """The frozen model from pixels in [0, 1] to {"logits", each of `names`}, float32."""
        wanted = {name: self.network.get_layer(name).output for name in names}
        inner = keras.Model(self.network.inputs, wanted | {"logits": self.network.outputs[0]}, name="teacher_network")
        pixels = keras.Input(self.network.inputs[0].shape[1:])
        scale, offset = RANGES[self.range]
        outputs = dict(inner(keras.layers.Rescaling(scale, offset, dtype="float32")(pixels), training=False))
        if self.output == "probabilities":
            outputs["logits"] = ops.log(ops.maximum(outputs["logits"], _LEAST))
        model = keras.Model(pixels, outputs, name="teacher")
        model.trainable = False
        return model


def load(path: str, *, range: str = "0..1", output: str = "auto") -> Teacher:
    """Finds the teacher at a path: a pushed model of ours, a folder of versions, a `.keras` file, or a SavedModel.

    Args:
      range: of the pixels that a model of the user's own takes; ours take [0, 1] whatever is said.
      output: what it gives; "auto" takes a softmax at the end for probabilities.

    Raises:
      ConfigError: nothing there can be used as a teacher; the message says what is wrong.
    """
    place = pathlib.Path(path)
    if place.is_dir() and not (place / "saved_model.pb").exists():
        place = next(iter(sorted(place.glob("*.keras"))), pushed.newest(path))
    if (place / pushed.EXTRA / pushed.ABOUT).is_file():
        return _ours(place)
    try:
        if place.suffix == ".keras" and place.is_file():
            model = keras.models.load_model(place)
        elif (place / "saved_model.pb").is_file():
            model = _saved_model(place)
        else:
            raise ConfigError(f"teacher={path}: no pushed model, .keras file or SavedModel there")
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"teacher={path}: cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    network = getattr(model, "network", model)
    _check_form(path, network)
    names = [layer.name for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
    if network is not model:  # one of our classifiers
        return Teacher(path, network, model.feature_names)
    return Teacher(path, network, names, range, _output_of(network) if output == "auto" else output)


def _ours(place: pathlib.Path) -> Teacher:
    """A model that this project exported, with its named features."""
    recipe = registry.get(pushed.describe(str(place))["recipe"])
    if recipe.shape != "classifier":
        raise ConfigError(f"teacher={place}: {recipe.name}, which is no classifier of pictures")
    _, _, model = pushed.load(str(place))
    return Teacher(str(place), model.network, model.feature_names)


def _saved_model(place: pathlib.Path) -> keras.Model:
    """A SavedModel whose `serving_default` takes one batch of pictures and gives one batch of numbers."""
    import tensorflow as tf  # there is no other reader of SavedModels

    signatures = tf.saved_model.load(str(place)).signatures
    if "serving_default" not in signatures:
        raise ConfigError(f"teacher={place}: no signature 'serving_default' (it has {', '.join(signatures) or 'none'})")
    taken = list(signatures["serving_default"].structured_input_signature[1].values())
    given = signatures["serving_default"].structured_outputs
    if len(taken) != 1 or len(given) != 1 or len(taken[0].shape) != 4:
        raise ConfigError(f"teacher={place}: wanted is one input [B, H, W, 3] and one output, not {taken}, {given}")
    pixels = keras.Input(taken[0].shape[1:])
    outputs = keras.layers.TFSMLayer(str(place), call_endpoint="serving_default", trainable=False)(pixels)
    return keras.Model(pixels, keras.tree.flatten(outputs)[0])


def _check_form(path: str, network: keras.Model) -> None:
    """Raises ConfigError unless the model is Functional, from one batch of RGB pictures to one batch of numbers."""
    inputs, outputs = getattr(network, "inputs", None), getattr(network, "outputs", None)
    if not inputs or not outputs:
        raise ConfigError(f"teacher={path}: not a Functional or Sequential model, so that its features have no names")
    shapes = tuple(inputs[0].shape), tuple(outputs[0].shape)
    if len(inputs) != 1 or len(outputs) != 1 or len(shapes[0]) != 4 or shapes[0][-1] != 3 or len(shapes[1]) != 2:
        raise ConfigError(f"teacher={path}: wanted is [B, H, W, 3] to [B, K], it is {shapes[0]} to {shapes[1]}")


def _output_of(network: keras.Model) -> str:
    last = network.layers[-1]
    is_softmax = (
        isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) is keras.activations.softmax
    )
    return "probabilities" if is_softmax else "logits"


def check_shapes(teacher: Teacher, classes: int, size: int) -> None:
    """Raises ConfigError unless a teacher takes pictures of this size and knows this many classes."""
    found = teacher.network.outputs[0].shape[-1]
    if found != classes:
        raise ConfigError(f"teacher={teacher.path}: it tells {found} classes apart, the data have {classes}")
    sides = teacher.network.inputs[0].shape[1:3]
    if any(side not in (None, size) for side in sides):
        wanted = "x".join(map(str, sides))
        raise ConfigError(f"teacher={teacher.path}: it takes pictures of {wanted}, not {size}x{size}; set image_size")


def check_answers(teacher: Teacher, pixels: np.ndarray, labels: np.ndarray) -> float:
    """Lets a teacher classify training pictures, [N, S, S, 3] float32 in [0, 1] with labels int [N].

    Returns:
      The share that it gets right.

    Raises:
      ConfigError: an answer is no number or no distribution; or another range of pixels makes it right far more often.
    """

    def answers(range: str) -> np.ndarray:
        model = dataclasses.replace(teacher, range=range).features()
        return np.array(model(pixels, training=False)["logits"])

    logits = answers(teacher.range)
    if not np.isfinite(logits).all():
        bad = int((~np.isfinite(logits)).any(1).sum())
        raise ConfigError(f"teacher={teacher.path}: {bad} of {len(logits)} answers are not finite numbers")
    sums = np.exp(logits).sum(1)
    if teacher.output == "probabilities" and not np.allclose(sums, 1, atol=1e-2):
        raise ConfigError(
            f"teacher={teacher.path}: its outputs add up to {sums[0]:.3g}, not to 1; set teacher_output=logits"
        )
    right = float((logits.argmax(1) == labels).mean())
    others = {r: float((answers(r).argmax(1) == labels).mean()) for r in RANGES if r != teacher.range}
    best = max(others, key=others.get)
    if others[best] > right + 0.2:
        raise ConfigError(
            f"teacher={teacher.path}: right on {right:.0%} of {len(labels)} training pictures with pixels in "
            f"{teacher.range}, on {others[best]:.0%} with {best}; set teacher_range={best}"
        )
    return right
