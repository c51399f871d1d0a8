"""What a distillation takes of the records: batches, what the teacher is checked on, what terms prepare from.

records [with the teacher's outputs] -> as in `models.classifiers.inputs` -> (pixels, labels [and those outputs])
"""

import dataclasses
import json
from collections.abc import Sequence

import keras
import numpy as np

from models.classifiers import inputs as classifier_inputs
from models.classifiers import samplers
from models.contract import registry
from models.contract.recipe import ConfigError
from models.distillation import checks
from models.distillation import teacher as teachers
from models.distillation.terms.term import LOGITS
from models.records import kept
from models.records import pictures as picture_records

CACHED = "teacher/"  # prefix of a record's features that hold the teacher's outputs
_LOOKED_AT = 256  # training pictures on which a teacher is checked


def inputs(files: Sequence[str], config, training: bool):
    """Batches as of `models.classifiers.inputs.inputs`, with the teacher's cached outputs if there are some.

    Raises:
      ConfigError: cached outputs with augmented pictures.
    """
    if config.cached and config.is_augmented:
        raise ConfigError(
            "cached outputs of a teacher are of the pictures as they are: set crop, flip, cutout, mixup to 0"
        )
    return classifier_inputs.inputs(files, config, training, kept.loads(config.cached))


def adapt(config, files: Sequence[str]):
    """The configuration with what the data say; the teacher is checked on them, and groups the classes if need be.

    Raises:
      ConfigError: as `models.classifiers.inputs.adapt`; or the teacher's answers are unusable.
    """
    config = classifier_inputs.adapt(config, files)
    if config.teacher in registry.recipes():
        return config
    outputs = {name: output for name, output in kept.beside(files).items() if name.startswith(CACHED)}
    config = dataclasses.replace(config, cached=kept.dumps(outputs))
    found = teachers.given(config)
    records = next(iter(picture_records.records(files).batch(_LOOKED_AT)))
    labels = picture_records.parse(records)[picture_records.LABEL].numpy()
    same = found.classes in (None, config.classes)
    checks.check_answers(found, records, labels if same else None, config.image_size, config.teacher_names)
    if config.sampler == "superclass_uniform" and not config.superclasses:
        config = dataclasses.replace(config, superclasses=json.dumps(_superclasses(found, config, files)))
    return config


def _superclasses(found: teachers.Teacher, config, files: Sequence[str]) -> list[int]:
    """The group of each class, by the teacher's embeddings of the training pictures, or by its logits."""
    name = teachers.EMBEDDING if teachers.EMBEDDING in found.known else LOGITS
    say, features, labels = found.of_records([name], config.image_size), [], []
    for records in picture_records.records(files).batch(_LOOKED_AT):
        features.append(say(records)[name])
        labels.append(picture_records.parse(records)[picture_records.LABEL].numpy())
    features, labels = np.concatenate(features), np.concatenate(labels)
    return samplers.superclasses_of(features, labels, config.classes, seed=config.seed).tolist()


def prepare(model, config, files) -> None:
    """Shows the training set to the terms that ask for it, before the first step.

    Args:
      model: a `Student`. files: `train` are the training records.
    """
    plain = dataclasses.replace(config, label_noise=0.0)
    for place, weighted in enumerate(model.objective):
        if weighted.loss.needs_training_set:
            weighted.loss.prepare(lambda place=place: _passed(model, plain, files.train, place))


def _passed(model, config, files: Sequence[str], place: int):
    """Batches of what the term at a place of the objective takes, as arrays."""
    for x, y in inputs(files, config, False):
        x, y = keras.tree.map_structure(np.array, (x, y))
        taken = model.term_inputs(x, y, model(x, training=False))[place]
        yield tuple(None if part is None else np.array(part) for part in taken)
