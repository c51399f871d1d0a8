"""What the terms of a student's objective have in common, so that Keras' own `Distiller` takes them too."""

import keras
from keras import ops

from models.training import replicas


class Term(keras.distillation.DistillationLoss):
    """A loss between a teacher and a student: on their logits, or on a pair of named layers.

    Subclasses say in `compute_loss(teacher_outputs, student_outputs, y=None)` what it is: float32 scalar, a mean over
    the batch. `y` is [B, K] float32, the labels as probabilities; Keras' `Distiller` does not pass it.

    Attributes:
      teacher_layer_name, student_layer_name: the layers whose outputs are compared (None: the logits). These are the
        names under which Keras' `Distiller` looks for them.
    """

    needs_labels = False

    def __init__(self, teacher_layer_name: str | None = None, student_layer_name: str | None = None):
        self.teacher_layer_name = teacher_layer_name
        self.student_layer_name = student_layer_name

    def validate_outputs(self, teacher_outputs, student_outputs):
        """Raises ValueError unless each side gives one tensor for as many examples as the other."""
        for side, value in (("teacher", teacher_outputs), ("student", student_outputs)):
            if isinstance(value, (list, tuple, dict)):
                raise ValueError(f"{type(self).__name__} compares one tensor a side; the {side} gives several")

    def validate_model_compatibility(self, teacher, student):
        """Called once, before training, with both Functional models; makes the weights of terms that have some.

        Raises:
          ValueError: a model has no layer of the wanted name (the message lists those it has), or shapes do not fit.
        """
        shapes = [_output_of(m, name).shape for m, name in zip((teacher, student), self.layer_names, strict=True)]
        self.prepare(*shapes)

    @property
    def layer_names(self) -> tuple[str | None, str | None]:
        """Names of the layers: teacher's, student's."""
        return self.teacher_layer_name, self.student_layer_name

    def prepare(self, teacher_shape: tuple, student_shape: tuple) -> None:
        """Checks the shapes of both sides, batch first, and makes the term's own weights.

        Raises:
          ValueError: the shapes do not fit this term.
        """

    def get_config(self) -> dict:
        """Arguments of the constructor; subclasses add theirs."""
        return {"teacher_layer_name": self.teacher_layer_name, "student_layer_name": self.student_layer_name}

    @classmethod
    def from_config(cls, config: dict):
        """The inverse of `get_config`."""
        return cls(**config)


class TrainedTerm(keras.layers.Layer, Term):
    """A term with variables: a layer, so that the model that holds it trains and saves them."""

    def __init__(self, teacher_layer_name: str | None = None, student_layer_name: str | None = None, **kwargs):
        super().__init__(**kwargs)
        self.teacher_layer_name = teacher_layer_name
        self.student_layer_name = student_layer_name

    def get_config(self) -> dict:
        return Term.get_config(self)


def _output_of(model: keras.Model, name: str | None):
    """The symbolic output of a named layer, or of the model."""
    if name is None:
        return model.outputs[0]
    try:
        return model.get_layer(name).output
    except ValueError:
        names = ", ".join(layer.name for layer in model.layers)
        raise ValueError(f"{model.name} has no layer '{name}'; it has {names}") from None


def flat(features):
    """Features [B, ...] as rows [B, D] float32; maps [B, H, W, C] are averaged over their places."""
    features = ops.cast(features, "float32")
    return (
        ops.mean(features, axis=(1, 2)) if len(features.shape) == 4 else ops.reshape(features, (-1, features.shape[-1]))
    )


def batch_rows(features):
    """As `flat`, with the rows of all replicas: what is said of pairs of examples is of those of the whole batch."""
    return replicas.gathered(flat(features))


def unit_rows(rows, epsilon: float = 1e-12):
    """Rows [B, D] divided by their length; the gradient of a zero row is finite."""
    return rows * ops.rsqrt(ops.maximum(ops.sum(ops.square(rows), axis=-1, keepdims=True), epsilon))


def same_places(teacher, student):
    """Two maps [B, H, W, C] at the smaller of their resolutions: the larger is averaged over blocks.

    Raises:
      ValueError: one resolution is no multiple of the other.
    """
    (th, tw), (sh, sw) = teacher.shape[1:3], student.shape[1:3]
    height, width = min(th, sh), min(tw, sw)
    if any(a % b for a, b in ((th, height), (sh, height), (tw, width), (sw, width))):
        raise ValueError(f"maps of {th}x{tw} and {sh}x{sw} places: one must be a multiple of the other")
    return _averaged(teacher, height, width), _averaged(student, height, width)


def _averaged(x, height: int, width: int):
    factors = x.shape[1] // height, x.shape[2] // width
    return x if factors == (1, 1) else ops.average_pool(x, factors, factors)


def check_maps(name: str, teacher_shape: tuple, student_shape: tuple) -> None:
    """Raises ValueError unless both shapes are those of maps [B, H, W, C]."""
    if len(teacher_shape) != 4 or len(student_shape) != 4:
        raise ValueError(f"{name} compares maps [B, H, W, C], not {tuple(teacher_shape)} and {tuple(student_shape)}")
