"""Calls every signature of a SavedModel from a process that knows TensorFlow and nothing of this project.

Run as a file: `python -I serving_probe.py MODEL_DIR WORK_DIR`. WORK_DIR/inputs holds the one element of a batch for
each known input: NAME has the bytes of a string, NAME.npy an array or a number. A signature is called once its inputs
are known, and the string outputs become inputs of the next: `compress` gives the `bitstream_bytes` that `decompress`
takes. Results go to WORK_DIR/outputs and WORK_DIR/calls.json; what is wrong goes to stderr as one line, with exit
status 1.
"""

import json
import pathlib
import sys
import time


def main(model_dir: str, work_dir: str) -> None:
    """Calls every signature of the model, each once.

    Args:
      model_dir: SavedModel. work_dir: holds `inputs` and an empty `outputs`.

    Raises:
      ValueError: a signature cannot be fed, gives a wrong answer, or something of the project was imported.
    """
    import tensorflow as tf

    work = pathlib.Path(work_dir)
    known = read_inputs(work / "inputs")
    signatures = dict(tf.saved_model.load(model_dir).signatures)
    picture_shape = tf.io.decode_image(known["image_bytes"]).shape[:2] if "image_bytes" in known else None
    calls = []
    while signatures:
        ready = [n for n, s in sorted(signatures.items()) if set(s.structured_input_signature[1]) <= set(known)]
        if not ready:
            wanted = {n: sorted(s.structured_input_signature[1]) for n, s in signatures.items()}
            raise ValueError(f"signatures whose inputs nothing gives: {wanted}")
        name = ready[0]
        call = signatures.pop(name)
        inputs = {i: spec.dtype.name for i, spec in sorted(call.structured_input_signature[1].items())}
        batch = {i: batch_of_one(known[i], dtype) for i, dtype in inputs.items()}
        start = time.perf_counter()
        outputs = call(**batch)
        calls.append({"signature": name, "inputs": inputs, "seconds": time.perf_counter() - start})
        for key, value in outputs.items():
            check(name, key, value)
            if value.dtype == tf.string:
                produced = value.numpy()[0]
                (work / "outputs" / f"{name}.{key}").write_bytes(produced)
                if key == "image_bytes" and picture_shape is not None:
                    same_size(name, tf.io.decode_image(produced).shape[:2], picture_shape)
                if key not in known:
                    known[key] = produced
                    write_input(work / "inputs", key, produced)
    strangers = {"models", "components", "keras_tuner", "tfx", "tensorflow_compression"} & set(sys.modules)
    if strangers:
        raise ValueError(f"the process is not clean: it imported {', '.join(sorted(strangers))}")
    (work / "calls.json").write_text(json.dumps(calls))


def write_input(folder: pathlib.Path, name: str, value) -> None:
    """Writes the one element of a batch: bytes, or what numpy takes as an array."""
    import numpy as np

    if isinstance(value, bytes):
        (folder / name).write_bytes(value)
    else:
        np.save(folder / f"{name}.npy", value, allow_pickle=False)


def read_inputs(folder: pathlib.Path) -> dict:
    """All that `write_input` wrote to a folder: input name -> bytes or array."""
    import numpy as np

    arrays = {p.stem: np.load(p, allow_pickle=False) for p in folder.glob("*.npy")}
    return arrays | {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix != ".npy"}


def batch_of_one(element, dtype: str):
    """A tensor [1, ...] of that dtype from bytes or an array.

    Raises:
      TypeError: bytes where numbers are wanted, or the other way round.
    """
    import tensorflow as tf

    if isinstance(element, bytes) != (dtype == "string"):
        raise TypeError(f"an input of {dtype} cannot be made of {type(element).__name__}")
    return tf.constant([element]) if dtype == "string" else tf.constant(element[None], dtype)


def check(name: str, key: str, value) -> None:
    """Raises ValueError for an output that is not a batch of one, is empty text, or is not finite."""
    import tensorflow as tf

    if value.shape.rank < 1 or value.shape[0] != 1:
        raise ValueError(f"{name}: output '{key}' has shape {value.shape} for a batch of 1")
    if value.dtype == tf.string:
        if not all(value.numpy().ravel()):
            raise ValueError(f"{name}: output '{key}' is empty")
    elif value.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(value)):
        raise ValueError(f"{name}: output '{key}' is not finite")


def same_size(name: str, got, wanted) -> None:
    """Raises ValueError if a served picture does not have its original's height and width."""
    if tuple(got) != tuple(wanted):
        raise ValueError(f"{name}: a picture of {tuple(wanted)} came back as {tuple(got)}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
