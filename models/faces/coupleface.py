"""A network for faces that learns from a teacher's embeddings: CoupleFace (arXiv:2204.05502), FCD, CCKD, RKD, RCO.

pixels --student--> embedding, logits --,
   '---teacher, or what is kept of it---+--> weighted sum of terms on embeddings, and the head's loss over the persons

The student is what the recipe `face` makes, and is served as that. With anchors it follows checkpoints of its teacher's
training (RCO, arXiv:1904.09149), on embeddings.
"""

import dataclasses
import pathlib

import keras
import numpy as np
from keras import ops

from models.classifiers.named import settings_of
from models.contract import registry
from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.recipe import Config, ConfigError, Evaluation, Recipe, option
from models.contract.training import Judge, Phase
from models.distillation import checks, route
from models.distillation import teacher as teachers
from models.distillation.inputs import CACHED
from models.distillation.terms.labels import LabelTerm
from models.distillation.terms.objective import TERMS, Weighted, parse
from models.distillation.terms.term import unit_rows
from models.faces import decision, face
from models.faces import inputs as face_inputs
from models.faces.margins import PairErrors, margin_loss
from models.faces.serving import signatures
from models.records import kept
from models.records import pictures as picture_records
from models.training import replicas

EMBEDDING = teachers.EMBEDDING
HEAD = "head"
_OF_EMBEDDINGS = ("fcd", "coupleface", "cckd", "rkd_distance", "rkd_angle")
_TEACHER_SEED = 10_000  # a teacher's seed less its student's
_LOOKED_AT = 256  # training pictures on which a teacher is checked


@keras.saving.register_keras_serializable("kompakt")
class HeadLoss(LabelTerm):
    """The loss of the student's own head over the training's persons, as the recipe `face` has it.

    Args: as of `models.faces.margins.margin_loss`; in an objective they are the configuration's.
    """

    def __init__(self, head: str = "arcface", margin: float = 0.5, scale: float = 64.0):
        super().__init__()
        self.head, self.margin, self.scale = head, margin, scale

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Logits [B, C], persons int [B] -> [B]."""
        return margin_loss(student_outputs, y, self.head, self.margin, self.scale)

    def get_config(self):
        return {"head": self.head, "margin": self.margin, "scale": self.scale}


_KNOWN = {HEAD: HeadLoss} | {name: TERMS[name] for name in _OF_EMBEDDINGS}


@dataclasses.dataclass(frozen=True)
class FaceStudentConfig(face.FaceConfig):
    """Options of a student; those of the network are the student's."""

    teacher: str = option(
        "face", "recipe of the teacher, a pushed network, or another tool's model or .npz of embeddings",
        is_model=True,
    )  # fmt: skip
    teacher_settings: str = option("", "options of the teacher's recipe: KEY=VALUE,KEY=VALUE")
    teacher_range: str = option("0..1", "pixels that a given teacher takes", choices=tuple(teachers.RANGES))
    terms: str = option(
        "fcd + coupleface + 0.02*head", f"the objective, a sum of WEIGHT*TERM(KEY=VALUE, ...) of {', '.join(_KNOWN)}"
    )
    anchors: int = option(
        0, "checkpoints of the teacher's training that are followed, RCO (0: the teacher alone)", low=0
    )
    cached: str = option("", "the teacher's embeddings in the records, JSON; filled in by the pipeline")

    def __post_init__(self):
        super().__post_init__()
        if all(weighted.name == HEAD for weighted in self.objective):
            raise ConfigError("terms: none of them looks at a teacher; a student without one is the recipe face")
        if is_trained_here(self):
            teacher_recipe(self)

    @property
    def objective(self) -> list[Weighted]:
        """The terms with their weights, their variables not made yet."""
        own = HeadLoss(self.head, self.used_margin, self.scale)
        found = parse(self.terms, dataclasses.asdict(self), _KNOWN)
        return [dataclasses.replace(w, loss=own) if isinstance(w.loss, HeadLoss) else w for w in found]

    @property
    def is_augmented(self) -> bool:
        """Whether a picture looks different each time it is drawn."""
        return bool(self.crop or self.flip or self.cutout)


def student_config(config: FaceStudentConfig) -> face.FaceConfig:
    """The student's own configuration."""
    return face.FaceConfig(**{f.name: getattr(config, f.name) for f in dataclasses.fields(face.FaceConfig)})


def is_trained_here(config) -> bool:
    """Whether the teacher is a recipe to be trained."""
    return config.teacher in registry.modules().values()


def teacher_recipe(config: FaceStudentConfig) -> tuple[Recipe, Config]:
    """Recipe and configuration of a teacher that is yet to be trained: as the student, with a seed of its own, but
    where `teacher_settings` says otherwise.

    Raises:
      ConfigError: no network for faces, or unknown options.
    """
    recipe = registry.get(config.teacher)
    if recipe.shape != face.RECIPE.shape:
        raise ConfigError(f"teacher={config.teacher}: no network for faces as they are trained; face is one")
    shared = dataclasses.asdict(student_config(config)) | {"seed": config.seed + _TEACHER_SEED, "init": ""}
    return recipe, recipe.make_config("small", shared | settings_of("teacher_settings", config.teacher_settings))


def _of(config: FaceStudentConfig) -> teachers.Teacher:
    found = teachers.load(config.teacher, range=config.teacher_range, output=EMBEDDING)
    found.must_embed()
    return found


@keras.saving.register_keras_serializable("kompakt")
class FaceStudent(Configured):
    """A student, its teacher and its objective; only `student` is exported.

    `call` takes pixels [B, S, S, 3] float32 in [0, 1] and returns what the student gives (`models.faces.face.Face`).
    Labels are persons int [B], or a dict with "labels" and the teacher's kept embeddings.

    Raises:
      ConfigError: no such teacher, or it or a term does not fit.
    """

    config_class = FaceStudentConfig

    def __init__(self, config: FaceStudentConfig, **kwargs):
        super().__init__(config, **kwargs)
        self.student = face.build(student_config(config))
        self.objective = config.objective
        self.teacher, width = _network_of(config)
        self.terms_with_weights = [w.loss for w in self.objective if isinstance(w.loss, keras.layers.Layer)]
        for weighted in self.objective:
            of_teacher = (None, width) if weighted.loss.needs_teacher else None
            try:
                weighted.loss.connect(of_teacher, (None, config.embedding), (None, config.classes))
            except ValueError as error:
                raise ConfigError(f"terms: {weighted.name}: {error}; set embedding={width}") from error
        self.trackers = {w.name: keras.metrics.Mean(name=w.name) for w in self.objective if not w.loss.needs_labels}
        self.errors = PairErrors()

    @property
    def network(self) -> keras.Model:
        """The student's network, whose threshold is chosen after every epoch."""
        return self.student.network

    @property
    def decision(self):
        """The student's, see `models.faces.face.Face`."""
        return self.student.decision

    def call(self, x, training=None):
        """What the student gives for pixels."""
        return self.student(x, training=training)

    def taught(self, x, y):
        """(the teacher's unit vectors [B, D] float32, persons int [B]) of a batch."""
        if isinstance(y, dict):
            theirs, y = y[CACHED + EMBEDDING], y["labels"]
        if self.teacher is not None:
            theirs = self.teacher(x, training=False)[EMBEDDING]
        return ops.stop_gradient(unit_rows(ops.cast(theirs, "float32"))), ops.cast(y, "int32")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """In training the weighted sum of the terms, whose state then moves; else the student's own loss; scalar."""
        theirs, persons = self.taught(x, y)
        total = 0.0
        for weighted in self.objective:
            loss = weighted.loss
            if loss.needs_labels and not training:
                continue
            own = y_pred[EMBEDDING if loss.needs_teacher else "logits"]
            given = theirs if loss.needs_teacher else None, own, persons
            values = loss.example_losses(*given)
            values = weighed(values, sample_weight) if len(values.shape) else values
            total = total + weighted.weight * ops.mean(values)
            if weighted.name in self.trackers:
                count = ops.cast(ops.shape(persons)[0], "float32")
                self.trackers[weighted.name].update_state(ops.mean(values), sample_weight=count)
            if training:
                loss.update(*given)
        return total if training else self.student.compute_loss(x, persons, y_pred, sample_weight, training=False)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The equal error rate of the pairs within batches, and the means of the terms that need no labels."""
        labels = y["labels"] if isinstance(y, dict) else y
        embeddings, labels = replicas.gathered(y_pred[EMBEDDING]), replicas.gathered(ops.cast(labels, "int32"))
        self.errors.update_state(ops.stop_gradient(embeddings), labels)
        return self.get_metrics_result()

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`; the teacher must still lie where it lay."""
        model = cls(FaceStudentConfig(**config["config"]), name=config["name"])
        _run_once(model)
        return model


def _network_of(config: FaceStudentConfig) -> tuple[keras.Model | None, int]:
    """The frozen teacher (None where its kept embeddings are what the student learns from), and their width."""
    outputs = kept.loads(config.cached)
    if outputs and not config.is_augmented:
        return None, int(outputs[CACHED + EMBEDDING].shape[-1])
    if is_trained_here(config):
        raise ConfigError(f"teacher={config.teacher}: a recipe; outside the pipeline give the path of a model")
    found = _of(config)
    if found.network is None:
        raise ConfigError(
            f"teacher={config.teacher}: its embeddings are of pictures as they are: set flip=false, crop=0, cutout=0"
            + ("" if outputs else ", and run it in the pipeline")
        )
    checks.check_view(found, config.image_size)
    if found.is_ours and found.central != config.central:
        raise ConfigError(f"central={config.central:g}: the teacher sees the central {found.central:g} of a picture")
    model = found.features([EMBEDDING])
    return model, int(model.output[EMBEDDING].shape[-1])


def _run_once(model: FaceStudent) -> None:
    model(ops.zeros((1, model.config.image_size, model.config.image_size, 3), "float32"))


def build(config: FaceStudentConfig) -> FaceStudent:
    """Makes the student beside its teacher, with every variable. Raises ConfigError as `FaceStudent`."""
    for name in ("classes", "image_size"):
        if not getattr(config, name):
            raise ConfigError(f"{name}=0: it is taken from the training data, and there are none here; set it")
    model = FaceStudent(_first(config))
    _run_once(model)
    return model


def _first(config: FaceStudentConfig) -> FaceStudentConfig:
    """The configuration with one teacher; of a route its last checkpoint."""
    if not config.anchors or is_trained_here(config) or (pathlib.Path(config.teacher) / "assets.extra").is_dir():
        return config
    return dataclasses.replace(config, teacher=str(route.checkpoints(config.teacher)[-1]))


def inputs(files, config: FaceStudentConfig, training: bool):
    """Batches as of `models.faces.inputs.inputs`, with the teacher's embeddings where the records have them."""
    beside = kept.loads(config.cached)
    return face_inputs.inputs(files, config, training, {} if config.is_augmented and training else beside)


def adapt(config: FaceStudentConfig, files) -> FaceStudentConfig:
    """The configuration with what the data say; a given teacher is checked on them.

    Raises:
      ConfigError: as of `models.faces.inputs.adapt`; or the teacher's embeddings are unusable.
    """
    config = face_inputs.adapt(config, files)
    if is_trained_here(config):
        return config
    outputs = {name: output for name, output in kept.beside(files).items() if name == CACHED + EMBEDDING}
    config = dataclasses.replace(config, cached=kept.dumps(outputs))
    records = next(iter(picture_records.records(files).batch(_LOOKED_AT)))
    checks.check_answers(_of(_first(config)), records, None, config.image_size, [EMBEDDING])
    return config


def prepare(model: FaceStudent, config: FaceStudentConfig, files) -> None:
    """Shows the training set as it is to the terms that ask for it: prototypes, and the mined table."""
    beside = kept.loads(config.cached)

    def passed():
        for x, y in face_inputs.inputs(files.train, config, False, beside):
            if beside:
                yield unit_rows(np.array(y[CACHED + EMBEDDING], np.float32)), None, np.array(y["labels"])
            else:
                theirs, persons = model.taught(x, y)
                yield np.array(theirs), None, np.array(persons)

    for weighted in model.objective:
        if weighted.loss.needs_training_set:
            weighted.loss.prepare(passed)


def phases(config: FaceStudentConfig, files):
    """One phase; with anchors one for each of the teacher's checkpoints at equal intervals, the last one at the end."""
    if not config.anchors:
        yield Phase("", config.steps, prepare=prepare)
        return
    found = route.checkpoints(config.teacher)
    places = route.equal_epochs(len(found), min(config.anchors, len(found), config.steps))
    done = 0
    for stage, place in enumerate(places):
        steps = config.steps * (stage + 1) // len(places) - done
        done += steps
        options = {"teacher": str(found[place]), "seed": config.seed + route.STAGE_SEED * stage}
        yield Phase(f"stage-{stage}", steps, options, inherit=hand_on, prepare=prepare)


def hand_on(model: FaceStudent, before: FaceStudent) -> None:
    """Of one anchor to the next: the student alone."""
    model.student.set_weights(before.student.get_weights())


def served(model: FaceStudent, config: FaceStudentConfig):
    """The student alone, as the recipe `face` would export it."""
    return face.RECIPE, model.student, student_config(config)


RECIPE = Recipe(
    name="coupleface",
    shape="face_student",
    summary="Face embedding that learns from a teacher's, CoupleFace and other terms (arXiv:2204.05502)",
    data="faces",
    config=FaceStudentConfig,
    presets={
        "small": face.SMALL | {"steps": 300, "width_percent": 15, "depth": 1,
                               "teacher_settings": "width_percent=25,depth=2"},
        "paper": face.PAPER | {"teacher_settings": "backbone=resnet,backbone_settings=depth=56,width_percent=50"},
    },
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=Evaluation(metrics=face.figures()),
    adapt=adapt,
    served=served,
    phases=phases,
    callbacks=decision.callbacks,
    judge=Judge("val_eer", "lower", keep="best", over=2),
    report=("verification",),
)  # fmt: skip
