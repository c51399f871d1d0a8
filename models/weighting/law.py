"""Learning to Auto Weight (arXiv:1905.11058): a policy is searched, then a classifier is trained under it.

phases: search (episodes of stages, models/weighting/search.py) --policy--> training (models/weighting/weighted.py)
"""

import dataclasses
import json
import os

import keras
import numpy as np
from keras import ops

from models.classifiers import classifier
from models.classifiers.named import classifier_recipe, configured
from models.classifiers.serving import signatures
from models.contract.recipe import Config, ConfigError, Recipe, Search, option
from models.contract.training import Files, Judge, Phase
from models.files import write_text
from models.training.optimizers import compile_model
from models.weighting import record, search
from models.weighting.inputs import ALL, CLEAN, REST, adapt, clean_examples, inputs
from models.weighting.policy import FEATURES, FREQUENCY, Policy
from models.weighting.rules import RULES
from models.weighting.weighted import StopEarly, Weighted, check_devices

WEIGHTINGS = ("law", *RULES, "meta")


@dataclasses.dataclass(frozen=True)
class LawConfig(classifier.PicturesConfig):
    """Options of a training with weighed examples."""

    classifier: str = option("small_cnn", "recipe of the network that is trained")
    classifier_settings: str = option("", "options of that recipe: KEY=VALUE,KEY=VALUE")
    weighting: str = option("law", "what weighs the examples: a searched policy, or a rule to compare with",
                            choices=WEIGHTINGS)  # fmt: skip
    policy: str = option(
        "", "a pushed model whose policy weighs; empty: one is searched, for search_share of the steps", is_model=True
    )
    clean_share: float = option(
        0.1, "share of the training examples whose labels are right for certain; rewards come from them", low=0.0,
        high=0.9,
    )  # fmt: skip
    long_tail: float = option(
        1.0, "how many times the rarest class is rarer than the first in the training (clean examples keep all)",
        low=1.0,
    )  # fmt: skip
    class_frequency: bool = option(False, "whether the policy also knows how frequent an example's class is")
    frequencies: str = option("", "frequencies of the classes, a JSON list; filled in from the training data")
    stages: int = option(10, "stages of a training, K", search=Search(choices=(5, 10, 20)), low=1)
    episodes: int = option(10, "trainings of the search", low=1)
    search_share: float = option(0.85, "share of the steps that are the search's", low=0.0, high=0.99)
    reward: str = option("nll", "what a stage is rewarded for, on clean examples", choices=("nll", "accuracy"))
    exploration: float = option(0.3, "standard deviation of the noise on weights, in the first episode",
                                search=Search(choices=(0.1, 0.3, 0.6)), low=0.0)  # fmt: skip
    exploration_decay: float = option(0.95, "factor of that from one episode to the next", low=0.0, high=1.0)
    discount: float = option(0.9, "of the stages to come", search=Search(choices=(0.0, 0.5, 0.9)), low=0.0, high=1.0)
    passes: int = option(5, "passes over as many steps as a stage has, at the end of each", low=1)
    full_data: bool = option(True, "whether the agent learns from all steps of a stage, or from one of each")
    memory: int = option(20, "stages that the agent remembers", low=2)
    actor_rate: float = option(1e-3, "learning rate of the actor", search=Search(choices=(1e-4, 3e-4, 1e-3, 3e-3)),
                               low=0.0)  # fmt: skip
    critic_rate: float = option(1e-3, "learning rate of the critic", low=0.0)
    tau: float = option(0.005, "share of the way that the target copies go at a step", low=0.0, high=1.0)
    eta: float = option(0.01, "weight of the mean square of (weight - 1)",
                        search=Search(choices=(0.0, 0.01, 0.1)), low=0.0)  # fmt: skip
    smoothing: float = option(0.5, "share of a weight that is of its stage; the rest is of the stage before", low=0.0,
                              high=1.0)  # fmt: skip
    part: str = option(
        "", "which training examples are drawn; filled in by the phases (empty: all)", choices=("", ALL, CLEAN, REST)
    )

    def __post_init__(self):
        super().__post_init__()
        if self.mixup and self.weighting not in ("uniform", "early_stopping"):
            raise ConfigError(f"mixup={self.mixup}: a mixed example would need two weights; set mixup=0")
        if self.searches and self.search_steps < 1:
            least = -(-self.episodes * self.stages // max(self.search_share, 1e-9)) + 1
            raise ConfigError(
                f"steps={self.steps}: {self.episodes} episodes of {self.stages} stages need at least {least:.0f}, "
                "since search_share of them are the search's"
            )
        network_of(self)

    @property
    def searches(self) -> bool:
        """Whether a policy is searched."""
        return self.weighting == "law" and not self.policy and not self.part

    @property
    def search_steps(self) -> int:
        """Steps of the search, whole stages."""
        stages = self.episodes * self.stages
        return int(self.steps * self.search_share) // stages * stages

    @property
    def class_frequencies(self) -> np.ndarray | None:
        """Of the classes over the largest, [K]; None if the policy does not know them."""
        if not self.class_frequency:
            return None
        found = json.loads(self.frequencies or "[]")
        return np.array(found if len(found) == self.classes else [1.0] * self.classes, "float32")


def network_of(config: LawConfig) -> tuple[Recipe, Config]:
    """The recipe of the classifier, and its configuration with the data and training options of this one.

    Raises:
      ConfigError: unknown recipe or option.
    """
    return configured(classifier_recipe("classifier", config.classifier), config, "classifier_settings")


def fresh_policy(config: LawConfig) -> Policy:
    """A policy that has learned nothing."""
    features = (*FEATURES, FREQUENCY) if config.class_frequency else FEATURES
    return Policy(features, config.stages, config.smoothing, config.seed, name="policy")


def _classifier(config: LawConfig) -> keras.Model:
    recipe, own = network_of(config)
    return recipe.build(own)


@keras.saving.register_keras_serializable("kompakt")
class Law(Weighted):
    """As `Weighted`, made from its configuration alone, and saved and loaded by it."""

    def __init__(self, config: LawConfig, **kwargs):
        policy = fresh_policy(config) if config.weighting == "law" else None
        if policy is not None and config.policy:
            policy.load(config.policy)
        super().__init__(config, _classifier(config), policy, **kwargs)
        self(ops.zeros((1, config.image_size, config.image_size, 3), "float32"))

    def get_config(self):
        return {"config": dataclasses.asdict(self.config), "name": self.name}

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`; a given policy must still lie where it lay."""
        return cls(LawConfig(**config["config"]), name=config["name"])


def build(config: LawConfig) -> Law:
    """Makes the classifier with its policy, and every variable.

    Raises:
      ConfigError: no such policy, or one of another state; number of classes or size of the pictures unknown.
    """
    classifier.check_known(config)
    check_devices(config)
    return Law(config)


def build_search(config: LawConfig) -> search.Search:
    """Makes target, reference and agent, with every variable.

    Raises:
      ConfigError: as `build`; several devices, or no TensorFlow.
    """
    classifier.check_known(config)
    model = search.Search(config, lambda: _classifier(config), fresh_policy(config))
    model(ops.zeros((1, config.image_size, config.image_size, 3), "float32"))
    return model


def phases(config: LawConfig, files: Files):
    """The search of a policy if there is to be one, then the training."""
    if not config.searches:
        part = REST if config.weighting in ("early_stopping", "meta") else ALL
        yield Phase("", config.steps, {"part": part})
        return
    steps = config.search_steps
    options = {"part": REST, "steps_per_epoch": steps // config.episodes, "precision": "float32"}
    yield Phase("search", steps, options, build=build_search)
    yield Phase("training", config.steps - steps, {"part": ALL}, inherit=hand_on)


def hand_on(model: Law, before: search.Search) -> None:
    """Of the search to the training: the best policy, what was found, and given first weights."""
    model.policy.assign([np.array(v) for v in before.best])
    model.search_log = json.dumps(before.summary())
    if model.config.init:
        for variable, value in zip(model.classifier.variables, before.first, strict=False):
            variable.assign(value)


def compile(model, config: LawConfig) -> None:  # noqa: A001 (the contract's name)
    """Four optimizers of a search, one of a training."""
    (search.compile_search if isinstance(model, search.Search) else compile_model)(model, config)


def callbacks(model, config: LawConfig, files: Files) -> list[keras.callbacks.Callback]:
    """What ends the stages of a search, or a training early."""
    if isinstance(model, search.Search):
        return [search.Stages(clean_examples(files.train, config))]
    if config.weighting == "early_stopping":
        return [StopEarly(files.work, clean_examples(files.train, config))]
    return []


def served(model, config: LawConfig):
    """The classifier alone, as its own recipe would export it."""
    recipe, own = network_of(config)
    return recipe, model.target if isinstance(model, search.Search) else model.classifier, own


def beside(model: Law, config: LawConfig, files, directory) -> None:
    """Writes the policy, and what the training weighed, into a folder."""
    del config, files
    if model.policy is not None:
        model.policy.save(directory)
    write_text(os.path.join(directory, record.FILE), json.dumps(model.summary()))


RECIPE = Recipe(
    name="law",
    shape="weighted",
    summary="Classifier under a searched policy that weighs its examples: Learning to Auto Weight (arXiv:1905.11058)",
    config=LawConfig,
    presets={"small": classifier.SMALL | {"steps": 7000, "steps_per_epoch": 100}, "paper": classifier.PAPER},
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=classifier.EVALUATION,
    report=("weighting", "confusions"),
    adapt=adapt,
    served=served,
    beside=beside,
    labelled=True,
    # A policy scales the loss; what counts is what the network gets right.
    judge=Judge("val_accuracy", "higher"),
    phases=phases,
    compile=compile,
    callbacks=callbacks,
)
