"""Distillation: a student learns from labels and from what a teacher makes of the same pictures.

pixels --student--> logits, features --,
   '---teacher--> logits, features ----+--> weighted sum of the objective's terms
"""

import dataclasses
from collections.abc import Mapping

import keras
from keras import ops

from models.classifiers import classifier
from models.classifiers.named import classifier_recipe, configured
from models.classifiers.serving import signatures
from models.contract import registry
from models.contract.example_weights import weighed
from models.contract.recipe import Config, ConfigError, Recipe, Search, option
from models.contract.training import Judge
from models.distillation import checks
from models.distillation import teacher as teachers
from models.distillation.inputs import CACHED, adapt, inputs
from models.distillation.stages import stages
from models.distillation.terms.objective import LABELS, LOGITS, TERMS, check_features, parse
from models.distillation.terms.term import Term
from models.records import kept

TEACHER_SEED = 10_000  # a teacher's seed less that of its first student: further than any student or stage counts


@dataclasses.dataclass(frozen=True)
class TaughtConfig(Config):
    """Options of whatever learns from a classifier by a sum of terms."""

    teacher: str = option(
        "resnet", "recipe that is trained as the teacher, or path of a teacher that exists", is_model=True
    )
    teacher_settings: str = option("", "options of the teacher's recipe: KEY=VALUE,KEY=VALUE")
    teacher_range: str = option("0..1", "pixels that a given teacher takes", choices=tuple(teachers.RANGES))
    teacher_output: str = option("auto", "what a given teacher's last layer gives", choices=teachers.OUTPUTS)
    terms: str = option(
        "0.1*ce + alpha*logits(temperature=temperature)", "the objective, a sum of WEIGHT*TERM(KEY=VALUE, ...)"
    )
    alpha: float = option(0.9, "weight that the terms may name", search=Search(0.1, 2.0), low=0.0)
    beta: float = option(1.0, "weight that the terms may name", search=Search(1e-2, 1e3, log=True), low=0.0)
    temperature: float = option(4.0, "of the logits, where the terms name it", search=Search(1.0, 10.0), low=0.01)
    cached: str = option("", "the teacher's outputs in the records, JSON; filled in by the pipeline")

    def __post_init__(self):
        super().__post_init__()
        parse(self.terms, dataclasses.asdict(self), self.known_terms)

    @property
    def known_terms(self) -> Mapping[str, type[Term]]:
        """The terms that an objective may name; a family with terms of its own adds them here."""
        return TERMS

    @property
    def objective(self) -> list:
        """The terms with their weights, their variables not made yet."""
        return parse(self.terms, dataclasses.asdict(self), self.known_terms)

    @property
    def teacher_names(self) -> set[str]:
        """Names of all that the terms ask a teacher for; none if no term needs one."""
        return {w.loss.layer_names[0] or LOGITS for w in self.objective if w.loss.needs_teacher}


@dataclasses.dataclass(frozen=True)
class StudentConfig(TaughtConfig, classifier.PicturesConfig):
    """Options of a distillation."""

    student: str = option("small_cnn", "recipe of the student")
    student_settings: str = option("", "options of the student's recipe: KEY=VALUE,KEY=VALUE")
    hint_terms: str = option("", "objective of a first stage, hint(layer=stage2) as in FitNets; empty: there is none")
    hint_share: float = option(0.3, "share of the steps of that stage", low=0.0, high=0.9)
    control: bool = option(True, "whether the student is also trained on labels alone, at equal cost, to compare")
    seeds: int = option(1, "how many students (and controls) are trained, with seeds from `seed` on", low=1, high=10)

    def __post_init__(self):
        super().__post_init__()
        if self.hint_terms:
            parse(self.hint_terms, dataclasses.asdict(self), self.known_terms)
        if self.budget and self.hint_terms:
            raise ConfigError("hint_terms: a budget of multiplications has phases of its own; leave one out")
        student_recipe(self)


def student_recipe(config: StudentConfig) -> tuple[Recipe, Config]:
    """The student's recipe and configuration, with the distillation's data and training options.

    Raises:
      ConfigError: unknown recipe or option.
    """
    recipe = classifier_recipe("student", config.student)
    return configured(recipe, config, "student_settings")


def teacher_recipe(config: StudentConfig) -> tuple[Recipe, Config]:
    """The same of a teacher that is yet to be trained: it learns from the same labels for as many steps.

    Batches drawn for the student's terms are the student's own (superclasses are found by a teacher that there is), and
    with its seed a teacher of its size would be the student itself. `teacher_settings` may say otherwise.
    A budget of multiplications is the student's alone.
    """
    recipe = classifier_recipe("teacher", config.teacher)
    own = {"int8": False, "budget": 0.0, "sampler": "uniform", "superclasses": "", "seed": config.seed + TEACHER_SEED}
    return configured(recipe, dataclasses.replace(config, **own), "teacher_settings")


def is_trained_here(config: StudentConfig) -> bool:
    """Whether the teacher is a recipe to be trained, not a model that exists."""
    return config.teacher in registry.recipes()


@keras.saving.register_keras_serializable("kompakt")
class Student(keras.Model):
    """A student, its teacher and its objective, to be trained together; only `student` is exported.

    `call` takes pixels [B, S, S, 3] float32 in [0, 1] and returns the student's {"logits", features}. Labels are
    [B, K], or a dict with "labels" and the teacher's cached outputs. Weights of examples, [B], act on the terms that
    have a loss for each.
    """

    config_class = StudentConfig

    def __init__(self, config: TaughtConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.student = self.made(config)
        self.objective = config.objective
        self.teacher, shapes = self._teacher(config)
        check_features(self.objective, shapes, self.student.feature_names)
        self.features = self.student.features(sorted({w.loss.layer_names[1] for w in self.objective} - {None, LOGITS}))
        self.terms_with_weights = [w.loss for w in self.objective if isinstance(w.loss, keras.layers.Layer)]
        for weighted in self.objective:
            theirs, own = (name or LOGITS for name in weighted.loss.layer_names)
            of_teacher = (None, *shapes[theirs]) if weighted.loss.needs_teacher else None
            try:
                weighted.loss.connect(of_teacher, self.features.output[own].shape, (None, config.classes))
            except ValueError as error:
                raise ConfigError(f"terms: {weighted.name}: {error}") from error
        self.trackers = [keras.metrics.Mean(name=n) for n in ("accuracy", *(w.name for w in self.objective))]

    def made(self, config) -> keras.Model:
        """The student alone."""
        recipe, student_config = student_recipe(config)
        return recipe.build(student_config)

    def _teacher(self, config) -> tuple[keras.Model | None, dict]:
        """The frozen teacher (None if its outputs are cached or nothing needs it) and shapes of its outputs by name."""
        if not config.teacher_names:
            return None, {}
        if config.cached:
            return None, {name.removeprefix(CACHED): o.shape for name, o in kept.loads(config.cached).items()}
        if is_trained_here(config):
            raise ConfigError(f"teacher={config.teacher}: a recipe; outside the pipeline give the path of a model")
        found = teachers.given(config)
        checks.check_view(found, config.image_size)
        model = found.features(config.teacher_names)
        return model, {n: tuple(output.shape[1:]) for n, output in model.output.items()}

    def call(self, x, training=None):
        """Logits and features of pixels, see the class."""
        return self.features(x, training=training)

    def term_inputs(self, x, y, y_pred) -> list[tuple]:
        """What each term takes of a batch, in their order: (teacher's output or None, student's output, labels)."""
        labels = y["labels"] if isinstance(y, dict) else y
        theirs = {}
        if isinstance(y, dict):
            theirs = {name.removeprefix(CACHED): value for name, value in y.items()}
        elif self.teacher is not None:
            theirs = self.teacher(x, training=False)
        sides = [[name or LOGITS for name in w.loss.layer_names] for w in self.objective]
        return [
            (theirs[there] if w.loss.needs_teacher else None, y_pred[here], labels)
            for w, (there, here) in zip(self.objective, sides, strict=True)
        ]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Weighted sum of the objective's terms, scalar; in training their state then moves."""
        total = 0.0
        taken = self.term_inputs(x, y, y_pred)
        for weighted, given, tracker in zip(self.objective, taken, self.trackers[1:], strict=True):
            values = weighted.loss.example_losses(*given)
            if len(values.shape):  # a term that couples the examples is one number
                values = weighed(values, sample_weight)
            value = ops.mean(values)
            tracker.update_state(value, sample_weight=ops.cast(ops.shape(given[2])[0], "float32"))
            total = total + weighted.weight * value
            if training:
                weighted.loss.update(*given)
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Running means of the accuracy and of each term, unweighted."""
        labels = y["labels"] if isinstance(y, dict) else y
        self.trackers[0].update_state(classifier.hits(labels, y_pred[LOGITS]))
        return self.get_metrics_result()

    def run_once(self) -> None:
        """Makes every variable."""
        self(ops.zeros((1, self.config.image_size, self.config.image_size, 3), "float32"))

    def get_config(self):
        own = {f.name: getattr(self.config, f.name) for f in dataclasses.fields(self.config_class)}
        return {"config": own, "name": self.name}

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`; what the options name must still lie where it lay."""
        model = cls(cls.config_class(**config["config"]), name=config["name"])
        model.run_once()
        return model


def build(config: StudentConfig) -> Student:
    """Makes the student beside its teacher, with every variable.

    Raises:
      ConfigError: no such teacher; it, a feature or the data do not fit.
    """
    classifier.check_known(config)
    model = Student(config)
    model.run_once()
    return model


def served(model: Student, config: StudentConfig):
    """The student alone, as its own recipe would export it."""
    recipe, student_config = student_recipe(config)
    return recipe, model.student, student_config


def control_of(config: StudentConfig) -> StudentConfig:
    """The same student, pictures and steps without the method: labels alone, uniform batches, no word of a teacher."""
    kept = {f.name: getattr(config, f.name) for f in dataclasses.fields(classifier.PicturesConfig)}
    kept |= {name: getattr(config, name) for name in ("student", "student_settings")}
    # No teacher is made or loaded, but the option must name one; any other recipe's code would count for the cache.
    kept |= {"teacher": config.student}
    return StudentConfig(**kept | {"terms": LABELS, "sampler": "uniform", "superclasses": "", "int8": False})


# What the recipes of all students have in common.
SHARED = {
    "build": build,
    "inputs": inputs,
    "signatures": signatures,
    "evaluation": classifier.EVALUATION,
    "report": ("comparison", "confusions"),
    "adapt": adapt,
    "served": served,
    "labelled": True,
    # The weights of the terms scale the loss, and temperatures change it; what counts is what the student gets right.
    "judge": Judge("val_accuracy", "higher"),
}

RECIPE = Recipe(
    name="distill",
    shape="student",
    summary="Student of a teacher by any sum of terms: KD, hints, attention, RKD, CCKD, ... (arXiv:1503.02531)",
    config=StudentConfig,
    presets={
        "small": classifier.SMALL,
        "paper": classifier.PAPER | {"teacher_settings": "depth=56", "student": "resnet"},
    },
    phases=stages,
    **SHARED,
)
