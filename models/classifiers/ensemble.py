"""Several classifiers as one network: the mean of their probabilities, weighed or not."""

import dataclasses
import functools
import json
from collections.abc import Sequence

import keras
from keras import ops

from models.classifiers import classifier, plain
from models.contract import registry
from models.contract.recipe import Config, ConfigError, Recipe, option

_LEAST = 1e-7  # of a mean probability, so that its logarithm is finite
_SHARED = tuple(field.name for field in dataclasses.fields(classifier.PicturesConfig))


@dataclasses.dataclass(frozen=True)
class EnsembleConfig(classifier.PicturesConfig):
    """Options of an ensemble. Trained here, its members learn together, from weights of different seeds."""

    members: str = option(
        '[["small_cnn", {}], ["small_cnn", {}]]', "its members, a JSON list of [recipe, {option: value}]"
    )
    weights: str = option("", "what the members' probabilities weigh, a JSON list; empty: all the same")

    def __post_init__(self):
        super().__post_init__()
        found = classifier.json_list("members", self.members)
        weights = classifier.json_list("weights", self.weights)
        if weights and (len(weights) != len(found) or not all(isinstance(w, int | float) and w > 0 for w in weights)):
            raise ConfigError(f"weights={self.weights}: wanted are {len(found)} numbers above 0, one a member")
        if len(found) < (1 if weights else 2) or not all(
            isinstance(m, list) and len(m) == 2 and isinstance(m[1], dict) for m in found
        ):
            raise ConfigError(f"members={self.members}: wanted are two or more [recipe, {{option: value}}]")
        for name, _ in found:
            if name == RECIPE.name or getattr(registry.recipes().get(name), "shape", "") != "classifier":
                raise ConfigError(f"members={self.members}: {name} is no single classifier's recipe")
        member_configs(self)


def member_configs(config: EnsembleConfig) -> list[tuple[Recipe, Config]]:
    """Recipe and configuration of each member; raises ConfigError for an option that one does not have."""
    shared = {name: getattr(config, name) for name in _SHARED if name not in ("init", "int8")}
    found = []
    for n, (name, options) in enumerate(json.loads(config.members)):
        recipe = registry.get(name)
        found.append((recipe, recipe.make_config("small", shared | {"seed": config.seed + n} | options)))
    return found


@keras.saving.register_keras_serializable("kompakt")
class Ensemble(classifier.Classifier):
    """Its logits are the logarithms of the mean probabilities. Members are the layers member0, member1, ..."""

    config_class = EnsembleConfig

    def logits(self, pixels, config):
        members = [recipe.build(settings).network for recipe, settings in member_configs(config)]
        members = [keras.Model(m.inputs, m.outputs[0], name=f"member{n}") for n, m in enumerate(members)]
        probabilities = [keras.layers.Softmax(dtype="float32")(member(pixels)) for member in members]
        if weights := json.loads(config.weights or "[]"):
            shares = [weight / sum(weights) for weight in weights]
            scaled = [keras.layers.Rescaling(w, dtype="float32")(p) for w, p in zip(shares, probabilities, strict=True)]
            mean = keras.layers.Add(dtype="float32")(scaled) if len(scaled) > 1 else scaled[0]
        else:
            mean = keras.layers.Average(dtype="float32")(probabilities)
        return ops.log(ops.maximum(mean, _LEAST))


def combine(members: Sequence[tuple[Recipe, Config, classifier.Classifier]], **options) -> tuple[Config, Ensemble]:
    """One model of trained classifiers, as `models.publishing.pushed.load` gives them; the first one's data are the
    ensemble's.

    Raises:
      ConfigError: fewer than two members, one that is no classifier, or members of other classes or picture sizes.
    """
    first = members[0][1]
    listed = []
    for recipe, config, _ in members:
        for name in ("classes", "class_names", "image_size", "budget", "patch", "groups"):
            if getattr(config, name, None) != getattr(first, name, None):
                raise ConfigError(f"{recipe.name}: another {name} than the ensemble's first member has")
        own = {k: v for k, v in dataclasses.asdict(config).items() if k not in _SHARED}
        listed.append([recipe.name, own])
    shared = {name: getattr(first, name) for name in _SHARED if hasattr(first, name)}
    config = EnsembleConfig(**shared | {"members": json.dumps(listed), "init": ""} | options)
    model = RECIPE.build(config)
    for n, (_, _, member) in enumerate(members):
        model.network.get_layer(f"member{n}").set_weights(member.network.get_weights())
    return config, model


RECIPE = Recipe(
    name="ensemble",
    summary="Mean of the probabilities of several classifiers",
    config=EnsembleConfig,
    presets={"small": classifier.SMALL, "paper": classifier.PAPER},
    build=functools.partial(classifier.build, Ensemble),
    **plain.PARTS,
)
