"""What the terms of a student's objective have in common, so that Keras' own `Distiller` takes them too."""

from collections.abc import Callable, Iterator

import keras
from keras import ops

from models.training import replicas

LOGITS = "logits"  # name of a model's last output, among its features


class Term(keras.distillation.DistillationLoss):
    """A loss of a student: against a teacher, on their logits or on a pair of named layers, or against the labels.

    Subclasses say in `example_losses` what it is. `y` is [B, K] float32, the labels as probabilities; Keras'
    `Distiller` does not pass it.

    Attributes:
      needs_teacher: whether it compares with a teacher; a loss of the labels alone is given None in its place.
      needs_labels: whether it cannot do without `y`.
      needs_training_set: whether `prepare` is to be called before the first step.
      teacher_layer_name, student_layer_name: the layers whose outputs are compared (None: the logits). These are the
        names under which Keras' `Distiller` looks for them.
    """

    needs_teacher = True
    needs_labels = False
    needs_training_set = False

    def __init__(self, teacher_layer_name: str | None = None, student_layer_name: str | None = None):
        self.teacher_layer_name = teacher_layer_name
        self.student_layer_name = student_layer_name

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """The loss of each example, float32 [B]; of a term about several examples at once a scalar, their mean.

        Only the former can be weighted by example.
        """
        raise NotImplementedError(f"{type(self).__name__} must say in `example_losses` what it is")

    def compute_loss(self, teacher_outputs, student_outputs, y=None, **kwargs):
        """Mean of `example_losses` over the batch, float32 scalar.

        Raises:
          ValueError: the labels are missing.
        """
        if self.needs_labels and y is None:
            raise ValueError(f"{type(self).__name__} needs the labels: pass y, [B, K]")
        return ops.mean(self.example_losses(teacher_outputs, student_outputs, y))

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
        self.connect(*shapes)

    @property
    def layer_names(self) -> tuple[str | None, str | None]:
        """Names of the layers: teacher's, student's."""
        return self.teacher_layer_name, self.student_layer_name

    def connect(self, teacher_shape: tuple | None, student_shape: tuple, y_shape: tuple | None = None) -> None:
        """Checks the shapes of both sides and of the labels, batch first, and makes the term's own weights.

        Args:
          teacher_shape: None of a term that needs no teacher. y_shape: None where there are no labels.

        Raises:
          ValueError: the shapes do not fit this term.
        """

    def prepare(self, outputs: Callable[[], Iterator[tuple]]) -> None:
        """Takes from the training set, once before the first step, what the term asks of it: prototypes, neighbours.

        What is kept must be weights of a `TrainedTerm`: a training that goes on after a kill finds them in its state.

        Args:
          outputs: each call passes once over the training set as it is, not augmented, in the order of its records, in
            batches (teacher's output, student's output, labels), as arrays [b, ...].
        """

    def update(self, teacher_outputs, student_outputs, y=None) -> None:
        """Moves the term's state (a bank, moving prototypes) after the loss of a training step, before the gradient's.

        Replicas keep one state: what it takes from a batch must be of the whole one (`models.training.replicas.total`
        and `gathered`), and is assigned to weights made by `TrainedTerm.add_state`.
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

    def add_state(self, name: str, shape: tuple[int, ...], initializer="zeros", dtype="float32"):
        """A variable that no gradient trains and every replica assigns alike, to be made in `connect`."""
        self.built = True
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, dtype=dtype, trainable=False,
            aggregation="only_first_replica",
        )  # fmt: skip

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


def check_rows(name: str, *shapes: tuple) -> None:
    """Raises ValueError unless all shapes are those of rows [B, D] or of maps [B, H, W, C]."""
    if any(len(shape) not in (2, 4) for shape in shapes):
        raise ValueError(f"{name} compares [B, D] or [B, H, W, C], not {', '.join(str(tuple(s)) for s in shapes)}")


def check_maps(name: str, teacher_shape: tuple, student_shape: tuple) -> None:
    """Raises ValueError unless both shapes are those of maps [B, H, W, C]."""
    if len(teacher_shape) != 4 or len(student_shape) != 4:
        raise ValueError(f"{name} compares maps [B, H, W, C], not {tuple(teacher_shape)} and {tuple(student_shape)}")
