"""Teachers: a model of ours, one of the user's own (a `.keras` file or a SavedModel), or embeddings that any tool made.

    record --the teacher's own view of it--> its input --> {"logits" or "embedding", the features asked for}

A teacher that sees what the student sees, pixels [B, S, S, 3] in [0, 1], is also given as a frozen Keras model, which
can be shown pictures as they are augmented. What another says is kept in the records.
"""

import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Callable, Collection

import keras
import numpy as np
from keras import ops

from models.classifiers import inputs as classifier_inputs
from models.contract import registry
from models.contract.recipe import ConfigError
from models.distillation.terms.objective import check_features
from models.distillation.terms.term import LOGITS
from models.publishing import pushed
from models.records import kept
from models.records import pictures as picture_records

RANGES = {"0..1": (1.0, 0.0), "0..255": (255.0, 0.0), "-1..1": (2.0, -1.0)}  # scale, offset of pixels in [0, 1]
EMBEDDING = "embedding"
OUTPUTS = ("auto", "logits", "probabilities", EMBEDDING)
_LEAST = 1e-7  # below this a probability says no more than that the class is out of the question


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A teacher as it was found.

    Attributes:
      path: where it lies, for messages. network: Functional model of pictures; None of a SavedModel that takes records.
      names: features that can be asked for. range: of its pixels, a key of RANGES. output: what it gives, one of
        OUTPUTS. is_ours: whether this project made it, so that range and output are known.
      answer: of a teacher that takes serialised records, string [B] -> {name: [B, ...]}.
      central: share of a picture's shorter side that it sees, around the centre.
    """

    path: str
    network: keras.Model | None
    names: list[str]
    range: str = "0..1"
    output: str = "logits"
    is_ours: bool = False
    answer: Callable | None = None
    central: float = 1.0

    @property
    def last(self) -> str:
        """What its last output is called."""
        return EMBEDDING if self.output == EMBEDDING else LOGITS

    @property
    def known(self) -> list[str]:
        """Names of all that it gives."""
        return sorted({*self.names, *([self.last] if self.network is not None else [])})

    @property
    def side(self) -> int | None:
        """Side of the pictures that it takes, pixels; None: any, or no pictures."""
        return self.network.inputs[0].shape[1] if self.network is not None else None

    @property
    def classes(self) -> int | None:
        """How many classes it tells apart; None if it gives no logits, or one that takes records."""
        return self.network.outputs[0].shape[-1] if self.network is not None and LOGITS in self.known else None

    def must_embed(self) -> None:
        """Raises ConfigError unless it gives embeddings."""
        if EMBEDDING not in self.known:
            raise ConfigError(f"teacher={self.path}: gives no embedding, but {', '.join(self.known) or 'nothing'}")

    def features(self, names: Collection[str] = ()) -> keras.Model:
        """The frozen model from pixels in [0, 1] to {"logits" or "embedding", each of `names`}, float32.

        Raises:
          ConfigError: it takes records, not pictures.
        """
        if self.network is None:
            raise ConfigError(f"teacher={self.path}: it takes records, not pictures: what it says must be kept in them")
        wanted = {name: self.network.get_layer(name).output for name in {*names} - {self.last}}
        wanted |= {self.last: self.network.outputs[0]}
        inner = keras.Model(self.network.inputs, wanted, name="teacher_network")
        pixels = keras.Input(self.network.inputs[0].shape[1:])
        scale, offset = RANGES[self.range]
        outputs = dict(inner(keras.layers.Rescaling(scale, offset, dtype="float32")(pixels), training=False))
        if self.output == "probabilities":
            outputs[LOGITS] = ops.log(ops.maximum(outputs[LOGITS], _LEAST))
        model = keras.Model(pixels, outputs, name="teacher")
        model.trainable = False
        return model

    def of_records(self, names: Collection[str] = (), size: int = 0) -> Callable:
        """What it says of serialised records, string [B], each seen as it sees it: {name: array [B, ...]}.

        Args:
          names: features wanted beside its logits or embedding. size: side of the pictures, if it takes any.
        """
        if self.network is None:
            return lambda records: {n: np.array(v) for n, v in self.answer(records).items() if n in {*names, LOGITS}}
        network, side = self.features(names), self.side or size

        def say(records):
            encoded = picture_records.parse(records)[picture_records.ENCODED]
            pixels = np.stack([np.array(classifier_inputs.prepare(e, side, self.central)) for e in encoded])
            said = network(pixels.astype("float32") / np.float32(255.0), training=False)
            return {name: np.array(value) for name, value in said.items()}

        return say


def given(config) -> Teacher:
    """The teacher at the path in a `StudentConfig`, with all that the terms ask of it.

    Raises:
      ConfigError: there is none, it lacks a feature, or tells other classes apart while a term compares its logits.
    """
    found = load(config.teacher, range=config.teacher_range, output=config.teacher_output)
    check_features(config.objective, found.known)
    if LOGITS in config.teacher_names:
        _check_classes(found, config.classes)
    return found


def load(path: str, *, range: str = "0..1", output: str = "auto") -> Teacher:
    """Finds the teacher at a path: a pushed model of ours, a folder of versions, a `.keras` file, a SavedModel, or
    embeddings (`.npz` with `ids` [N], of the records, and `embeddings` [N, D]).

    Args:
      range: of the pixels that a model of the user's own takes; ours take [0, 1] whatever is said.
      output: what it gives; "auto" takes a softmax at the end for probabilities, and what else there is for logits.

    Raises:
      ConfigError: nothing there can be used as a teacher; the message says what is wrong.
    """
    place = pathlib.Path(path)
    if place.is_dir() and not (place / "saved_model.pb").exists():
        place = next(iter([*sorted(place.glob("*.keras")), *sorted(place.glob("*.npz"))]), pushed.newest(path))
    if (place / pushed.EXTRA / pushed.ABOUT).is_file():
        return _ours(place)
    if place.suffix == ".npz":
        return _of_file(place)
    try:
        if place.suffix == ".keras" and place.is_file():
            model = keras.models.load_model(place)
        elif (place / "saved_model.pb").is_file():
            model = _saved_model(place)
        else:
            raise ConfigError(f"teacher={path}: no pushed model, .keras file, SavedModel or .npz of embeddings there")
    except ConfigError:
        raise
    except Exception as error:
        if own := _own_layers(place):
            raise ConfigError(
                f"teacher={path}: it holds {', '.join(own)}, which only the code that made it can load; "
                "there, write it with model.export(FOLDER), and give that folder"
            ) from error
        raise ConfigError(f"teacher={path}: cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    if isinstance(model, Teacher):
        return model
    network = getattr(model, "network", model)
    _check_form(path, network)
    names = [layer.name for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
    if network is not model:  # one of our classifiers
        return Teacher(path, network, model.feature_names, is_ours=True)
    return Teacher(path, network, names, range, _output_of(network) if output == "auto" else output)


def _of_file(place: pathlib.Path) -> Teacher:
    """Embeddings of pictures by the ids of their records: for faces and folders the paths below the folder."""
    try:
        with np.load(place, allow_pickle=False) as file:
            ids, rows = file["ids"].astype(str), np.asarray(file["embeddings"], np.float32)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"teacher={place}: no .npz with ids [N] and embeddings [N, D]") from error
    if ids.ndim != 1 or rows.ndim != 2 or len(ids) != len(rows) or not len(ids):
        raise ConfigError(
            f"teacher={place}: ids {list(ids.shape)} and embeddings {list(rows.shape)}; wanted is a row an id"
        )
    if len(places := {name: n for n, name in enumerate(ids)}) < len(ids):
        raise ConfigError(f"teacher={place}: {len(ids) - len(places)} of {len(ids)} ids stand there twice")

    def answer(records):
        wanted = [i.decode("utf-8", "replace") for i in picture_records.parse(records)[picture_records.ID].numpy()]
        if missing := [name for name in wanted if name not in places]:
            raise ConfigError(
                f"teacher={place}: no embedding of {missing[0]!r}, nor of {len(missing) - 1} others beside it"
            )
        return {EMBEDDING: rows[[places[name] for name in wanted]]}

    return Teacher(str(place), None, [EMBEDDING], output=EMBEDDING, answer=answer)


def _own_layers(place: pathlib.Path) -> list[str]:
    """Names of the classes in a `.keras` file that are not Keras' own, and "Lambda" where it holds one."""
    found = set()

    def look(node):
        if isinstance(node, dict):
            module = node.get("module") or ""
            if name := node.get("class_name"):
                is_own = node.get("registered_name") is not None and module.partition(".")[0] not in (
                    "keras",
                    "builtins",
                )
                found.update([name] if is_own or name == "Lambda" else [])
        if isinstance(node, (dict, list)):
            for part in node.values() if isinstance(node, dict) else node:
                look(part)

    try:
        with zipfile.ZipFile(place) as file:
            look(json.loads(file.read("config.json")))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return []
    return sorted(found)


def _ours(place: pathlib.Path) -> Teacher:
    """A model that this project exported, with its named features."""
    recipe = registry.get(pushed.describe(str(place))["recipe"])
    if recipe.shape not in ("classifier", "face"):
        raise ConfigError(f"teacher={place}: {recipe.name}, which is neither a classifier nor a network for faces")
    _, config, model = pushed.load(str(place))
    if recipe.shape == "face":
        return Teacher(str(place), model.network, [], output=EMBEDDING, is_ours=True, central=config.central)
    return Teacher(str(place), model.network, model.feature_names, is_ours=True)


def _saved_model(place: pathlib.Path) -> "keras.Model | Teacher":
    """A SavedModel by its `serving_default`: of pixels a model to finish, of records or encoded pictures a teacher."""
    import tensorflow as tf  # there is no other reader of SavedModels

    loaded = tf.saved_model.load(str(place))
    if "serving_default" not in loaded.signatures:
        names = ", ".join(loaded.signatures) or "none"
        raise ConfigError(f"teacher={place}: no signature 'serving_default' (it has {names})")
    signature = loaded.signatures["serving_default"]
    taken, given = list(signature.structured_input_signature[1].values()), signature.structured_outputs
    if all(spec.dtype == tf.string for spec in taken):
        return Teacher(str(place), None, sorted(given), answer=kept.of_signature(loaded, "serving_default"))
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


def _check_classes(teacher: Teacher, classes: int) -> None:
    """Raises ConfigError unless a teacher whose logits a student learns from knows this many classes."""
    if teacher.classes not in (None, classes):
        raise ConfigError(f"teacher={teacher.path}: it tells {teacher.classes} classes apart, the data have {classes}")
