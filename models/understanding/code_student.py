"""A classifier of codes that learns from a classifier of pictures, which sees what the codec was given.

    picture --teacher--> logits --------------,
       '--codec's stream--> codes --student--> weighted sum of terms (arXiv:1503.02531 and others)

The teacher's answers are kept in the records beside the codes, so training looks at no picture. What is pushed is a
`code_classifier` like any other.
"""

import dataclasses
from collections.abc import Sequence

import keras
from keras import ops

from models.classifiers import classifier
from models.contract.recipe import ConfigError, Recipe, option
from models.contract.training import Judge
from models.distillation.inputs import CACHED
from models.distillation.student import Student, TaughtConfig
from models.records import kept
from models.understanding import code_classifier, options
from models.understanding.inputs import inputs as code_inputs


@dataclasses.dataclass(frozen=True)
class CodeStudentConfig(TaughtConfig, code_classifier.CodeClassifierConfig):
    """Options of a student of codes; those of the network are the student's."""

    teacher_settings: str = option(
        "", "options of the teacher's recipe, which sees pictures of `image_size`: KEY=VALUE,KEY=VALUE"
    )

    def __post_init__(self):
        super().__post_init__()
        if not self.teacher_names:
            raise ConfigError("terms: none of them looks at a teacher; without one the recipe is code_classifier")
        if shown := [w.name for w in self.objective if w.loss.needs_training_set]:
            raise ConfigError(f"terms: {shown[0]} looks at the training pictures first, and a student of codes at none")


def student_config(config: CodeStudentConfig) -> code_classifier.CodeClassifierConfig:
    """The student's own configuration."""
    own = code_classifier.CodeClassifierConfig
    return own(**{f.name: getattr(config, f.name) for f in dataclasses.fields(own)})


@keras.saving.register_keras_serializable("kompakt")
class CodeStudent(options.WithCodec, Student):
    """A student of codes and its objective; only `student` is exported.

    `call` takes codes as `models.understanding.code_classifier.CodeClassifier` and returns {"logits", features}.
    Labels are a dict with "labels" [B, K] and the teacher's kept outputs.

    Raises:
      ConfigError: there is no such codec, or a term does not fit.
    """

    config_class = CodeStudentConfig

    def made(self, config) -> keras.Model:
        """The student alone."""
        return code_classifier.build(student_config(config))

    @property
    def codec(self) -> keras.Model:
        """The student's, which does not learn."""
        return self.student.codec

    def run_once(self) -> None:
        """Makes every variable."""
        self(ops.zeros((1, 2, 2, self.config.depth), "float32"))


def build(config: CodeStudentConfig) -> CodeStudent:
    """Makes the student with its objective and runs it once.

    Raises:
      ConfigError: as of `models.understanding.code_classifier.build`, or a term does not fit.
    """
    classifier.check_known(config)
    model = CodeStudent(config)
    model.run_once()
    return model


def inputs(files: Sequence[str], config: CodeStudentConfig, training: bool):
    """Batches as of `models.understanding.inputs.inputs`, with the teacher's kept outputs beside the labels."""
    return code_inputs(files, config, training, kept.loads(config.cached))


def adapt(config: CodeStudentConfig, files: Sequence[str]) -> CodeStudentConfig:
    """As of `code_classifier`, and what is kept of the teacher in the records."""
    outputs = {name: output for name, output in kept.beside(files).items() if name.startswith(CACHED)}
    return dataclasses.replace(code_classifier.adapt(config, files), cached=kept.dumps(outputs))


def served(model: CodeStudent, config: CodeStudentConfig):
    """The student alone, as its own recipe would export it."""
    return code_classifier.RECIPE, model.student, options.whole(student_config(config))


RECIPE = Recipe(
    name="code_student",
    shape="code_student",
    summary="Classifier of codes that learns from a classifier of pictures (arXiv:1803.06131, arXiv:1503.02531)",
    config=CodeStudentConfig,
    presets={"small": code_classifier.RECIPE.presets["small"], "paper": code_classifier.RECIPE.presets["paper"]},
    build=build,
    inputs=inputs,
    signatures=code_classifier.RECIPE.signatures,
    evaluation=code_classifier.RECIPE.evaluation,
    report=code_classifier.RECIPE.report,
    adapt=adapt,
    served=served,
    labelled=True,
    judge=Judge("val_accuracy", "higher"),
    batching=False,
)
