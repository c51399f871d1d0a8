"""A non-negative dictionary of pictures, coded by matching pursuit over its cone (arXiv:1705.11041).

    picture -> patches y -> weights a >= 0, few of them, with y ~ sum of a_i z_i -> picture

The atoms z_i begin as a non-negative factorisation of training patches by greedy rank-one atoms, and are then polished
by gradient steps on all patches, each coded with as many atoms as may be used. A given dictionary stays as it is.
"""

import dataclasses
import json
import os

import keras
import numpy as np
from keras import ops

from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.contract.recipe import Config, ConfigError, Evaluation, Metric, Recipe, Search, option
from models.contract.training import Phase
from models.files import write_text
from models.pursuit import factorisation, given
from models.pursuit.inputs import adapt, inputs
from models.pursuit.problems import OnGram
from models.pursuit.pursuit import ALGORITHMS, pursue
from models.pursuit.serving import signatures

GREEDY = "greedy.json"  # in the folder of logs: how the factorisation went
_STEPS = 4  # of the pairwise pursuit in training, for each atom that may be used


@dataclasses.dataclass(frozen=True)
class DictionaryConfig(Config):
    """Options of a dictionary."""

    image_size: int = option(0, "side of the pictures, pixels; others are cut square and resized (0: the first one's, "
                             "128 at most)", low=0)  # fmt: skip
    channels: int = option(0, "1: grey, 3: colours, 0: as the first training picture", choices=(0, 1, 3))
    patch: int = option(0, "side of what is coded as one vector, pixels (0: 8, or a small picture as a whole)", low=0)
    atoms: int = option(64, "atoms of the dictionary", search=Search(choices=(32, 64, 128, 256)), low=2)
    nonzeros: int = option(8, "atoms used for a patch, at most", low=1)
    algorithm: str = option("fcmp", "how served pictures are coded", choices=ALGORITHMS)
    dictionary: str = option("", "a .npy file with an atom a row, which is taken as it is; empty: one is learned",
                             is_model=True)  # fmt: skip
    sample: int = option(4096, "training patches of which the first atoms are made", low=2)
    sweeps: int = option(200, "corrections of the first atoms, at most", search=Search(choices=(20, 200, 1000)), low=0)

    def __post_init__(self):
        super().__post_init__()
        if self.patch and self.image_size % self.patch:
            raise ConfigError(f"patch={self.patch}: must divide image_size={self.image_size}")

    @property
    def length(self) -> int:
        """Numbers of a patch."""
        return self.patch**2 * self.channels


@keras.saving.register_keras_serializable("kompakt")
class OnCone(keras.constraints.Constraint):
    """Rows [K, d] without negative numbers and of norm 1."""

    def __call__(self, w):
        w = ops.maximum(w, 0.0)
        return w / ops.maximum(ops.sqrt(ops.sum(ops.square(w), axis=1, keepdims=True)), 1e-12)


@keras.saving.register_keras_serializable("kompakt")
class PictureDictionary(Configured):
    """Atoms [K, d], and patches coded by them.

    `call` takes patches [B, d] float32 in [0, 1] and gives "weights" [B, K] >= 0, at most `nonzeros` of a row above 0,
    by pairwise pursuit, and "patches" [B, d], what they add up to. No gradient goes through the weights.
    """

    config_class = DictionaryConfig

    def __init__(self, config: DictionaryConfig, **kwargs):
        super().__init__(config, autocast=False, **kwargs)
        first = keras.initializers.RandomUniform(0.0, 1.0, seed=config.seed)
        self.atoms = self.add_weight(
            shape=(config.atoms, config.length), initializer=first, constraint=OnCone(), dtype="float32",
            trainable=not config.dictionary, autocast=False, name="atoms",
        )  # fmt: skip
        self.atoms.assign(OnCone()(self.atoms.value))
        self.trackers = [keras.metrics.Mean(name=name) for name in ("error", "nonzeros")]

    def call(self, x, training=None):
        """See the class."""
        atoms, x = ops.convert_to_tensor(self.atoms), ops.cast(x, "float32")
        problem, config = OnGram.of(ops.stop_gradient(atoms), ops.stop_gradient(x)), self.config
        found = pursue(problem, "pwmp", steps=_STEPS * config.nonzeros, tolerance=1e-3, most=config.nonzeros)
        weights = ops.stop_gradient(found.weights)
        return {"weights": weights, "patches": ops.matmul(weights, atoms)}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Half the squared distance of a patch to what codes it, mean over the batch; scalar."""
        return ops.mean(weighed(0.5 * self._squares(x, y_pred), sample_weight))

    @staticmethod
    def _squares(x, y_pred):
        return ops.sum(ops.square(ops.cast(x, "float32") - y_pred["patches"]), axis=-1)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Running means of the error over the patch's squares, and of the atoms used."""
        energy = ops.maximum(ops.sum(ops.square(ops.cast(x, "float32")), axis=-1), 1e-6)
        used = ops.sum(ops.cast(y_pred["weights"] > 0, "float32"), axis=-1)
        for tracker, value in zip(self.trackers, (self._squares(x, y_pred) / energy, used), strict=True):
            tracker.update_state(value)
        return self.get_metrics_result()


def build(config: DictionaryConfig) -> PictureDictionary:
    """Makes the dictionary with random atoms.

    Raises:
      ConfigError: the size of the pictures is not known.
    """
    for name in ("image_size", "channels", "patch"):
        if not getattr(config, name):
            raise ConfigError(f"{name}=0: it is taken from the training data, and there are none here; set it")
    with policy_of(config):
        model = PictureDictionary(config)
        model(ops.zeros((1, config.length), "float32"))
    return model


def phases(config: DictionaryConfig, files):
    """One phase, which begins with the first atoms."""
    yield Phase("", config.steps, prepare=prepare)


def prepare(model: PictureDictionary, config: DictionaryConfig, files) -> None:
    """Gives the model its first atoms: the given ones, those of `init`, or those of a greedy factorisation.

    Raises:
      ConfigError: as `given.read`, or the given atoms are not those that the configuration was made for.
    """
    if config.dictionary:
        atoms = given.read(config.dictionary)
        if atoms.shape != tuple(model.atoms.shape):
            raise ConfigError(f"dictionary={config.dictionary}: changed while the pipeline ran; run it again")
        model.atoms.assign(atoms.astype("float32"))
    elif not config.init:
        found = factorisation.factorise(_sample(config, files), config.atoms, last=config.sweeps)
        here = found.right.any(axis=1)  # where nothing was left to fit, the random atom stays
        model.atoms.assign(np.where(here[:, None], found.right, model.atoms.numpy()).astype("float32"))
        os.makedirs(files.logs, exist_ok=True)
        write_text(os.path.join(files.logs, GREEDY), json.dumps(found.history))


def _sample(config: DictionaryConfig, files) -> np.ndarray:
    """Training patches, [sample, d]."""
    batches = inputs(files.train, config, True).take(-(-config.sample // config.batch_size))
    return np.concatenate(list(batches.as_numpy_iterator()))[: config.sample]


RECIPE = Recipe(
    name="matching_pursuit",
    shape="dictionary",
    summary="Non-negative dictionary of pictures, coded by matching pursuit over its cone (arXiv:1705.11041)",
    config=DictionaryConfig,
    presets={
        "small": {"batch_size": 128, "steps": 600, "steps_per_epoch": 100, "learning_rate": 2e-3},
        "paper": {"batch_size": 256, "steps": 10_000, "steps_per_epoch": 500, "atoms": 256, "nonzeros": 16,
                  "sample": 16_384, "sweeps": 1000},
    },
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=Evaluation(
        metrics=(
            Metric("psnr_db", "dB", "higher", lower_bound=0.0, tolerance=0.5),
            Metric("error", "", "lower"),
            Metric("nonzeros", "", "lower"),
        ),
        comparable=("image_size", "channels", "patch", "nonzeros"),
    ),
    adapt=adapt,
    phases=phases,
    report=("atoms", "convergence"),
)  # fmt: skip
