"""Classifiers as int8 TFLite files: affine quantisation after training, weights per channel (arXiv:1712.05877)."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from models.classifiers import classifier
from models.classifiers import inputs as classifier_inputs
from models.records import pictures as picture_records

FILE = "int8.tflite"
_CALIBRATED_ON = 256  # training pictures whose activations set the ranges


def write(model, config, files: Sequence[str], directory: str | os.PathLike) -> None:
    """Writes FILE into a folder if `config.int8` asks for it: `beside` of a classifier's recipe.

    The file takes uint8 [1, S, S, 3], pixels in [0, 1] by the scale and zero point that it holds, and gives float32
    logits [1, K].

    Args:
      model: a `models.classifiers.classifier.Classifier`. files: of the training records, from which the ranges are
        taken.
    """
    if not config.int8:
        return
    plain = dataclasses.replace(config, batch_size=1, label_noise=0.0)
    pictures = classifier_inputs.inputs(files, plain, False).take(_CALIBRATED_ON)
    # The converter takes float32 alone, whatever the model was trained in.
    single = classifier.build(type(model), dataclasses.replace(config, precision="float32"))
    single.set_weights(model.get_weights())
    shape = tf.TensorSpec((1, config.image_size, config.image_size, 3), tf.float32)
    call = tf.function(lambda pixels: single.network(pixels, training=False), [shape], autograph=False)
    # With Keras 3's variables in it the converter of TensorFlow 2.16 ends the process (its issue 63987).
    frozen = convert_variables_to_constants_v2(call.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([pixels] for pixels, _ in pictures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    pathlib.Path(directory, FILE).write_bytes(converter.convert())


def probabilities(path: str | os.PathLike, files: Sequence[str]) -> np.ndarray:
    """What an int8 file says of every picture of record files: float32 [N, K]."""
    interpreter = tf.lite.Interpreter(os.fspath(path))
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = taken["quantization"]
    logits = []
    for record in picture_records.records(files):
        pixels = classifier_inputs.prepare(
            picture_records.parse(record)[picture_records.ENCODED], int(taken["shape"][1])
        ).numpy()
        levels = np.clip(np.round(pixels / 255.0 / scale) + zero, 0, 255).astype(np.uint8)
        interpreter.set_tensor(taken["index"], levels[None])
        interpreter.invoke()
        logits.append(interpreter.get_tensor(given["index"])[0])
    return tf.nn.softmax(np.stack(logits)).numpy()
