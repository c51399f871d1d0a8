"""Calls every signature of a SavedModel through the loader that servers have, in a process that has nothing else.

Run as a file: `python -I probe.py MODEL_DIR WORK_DIR [FOLDER_OF_PACKAGES ...]`. WORK_DIR/inputs holds the one element
of a batch for each known input: NAME has the bytes of a string, NAME.npy an array or a number. Where the rank of an
input is that of the element, it takes this as it is, without a batch (groups of frames do). A signature is called
once its inputs are known, and outputs become inputs of the next, strings always, numbers where some signature takes
them by that name: `compress` gives the `bitstream_bytes` that `decompress` takes, `encode` the `weights` for `decode`.
`height_and_width.npy` says what size pictures come back in. Results go to WORK_DIR/outputs and WORK_DIR/calls.json;
what is wrong goes to stderr as one line, with exit status 1.
"""

import importlib.util
import json
import pathlib
import struct
import sys
import time


def main(model_dir: str, work_dir: str, *packages: str) -> None:
    """Calls every signature of the model, each once.

    Args:
      model_dir: SavedModel. work_dir: holds `inputs` and an empty `outputs`. packages: folders to import from, behind
        those of this Python.

    Raises:
      ValueError: a signature cannot be fed, gives a wrong answer, or something of the project was imported.
    """
    sys.path += [folder for folder in packages if folder not in sys.path]
    import numpy as np

    native_model = _by_path("native_model.py")
    work = pathlib.Path(work_dir)
    known = read_inputs(work / "inputs")
    sides = tuple(known.pop("height_and_width", ()))
    calls = []
    with native_model.NativeModel(model_dir) as model:
        waiting = dict(model.signatures)
        wanted_by_some = {key for taken in waiting.values() for key in taken.inputs}
        while waiting:
            ready = [name for name, taken in waiting.items() if set(taken.inputs) <= set(known)]
            if not ready:
                wanted = {name: sorted(taken.inputs) for name, taken in waiting.items()}
                raise ValueError(f"signatures whose inputs nothing gives: {wanted}")
            name = ready[0]
            inputs = {key: (taken.dtype, taken.rank) for key, taken in waiting.pop(name).inputs.items()}
            start = time.perf_counter()
            outputs = model(name, **{key: batch_of_one(known[key], *form) for key, form in inputs.items()})
            calls.append({"signature": name, "inputs": inputs, "seconds": time.perf_counter() - start})
            unbatched = any(rank and np.ndim(known[key]) == rank for key, (_, rank) in inputs.items())
            for key, value in outputs.items():
                check(name, key, value, unbatched or key in known and np.ndim(known[key]) == value.ndim)
                if value.dtype != object and key in wanted_by_some and key not in known:
                    known[key] = value[0]
                    write_input(work / "inputs", key, value[0])
                if value.dtype == object:
                    produced = value.ravel()[0]
                    (work / "outputs" / f"{name}.{key}").write_bytes(produced)
                    if key == "image_bytes" and sides:
                        same_size(name, png_size(produced), sides)
                    if key not in known:
                        known[key] = produced
                        write_input(work / "inputs", key, produced)
    strangers = {"models", "components", "keras_tuner", "tfx", "tensorflow"} & set(sys.modules)
    if strangers:
        raise ValueError(f"the process is not clean: it imported {', '.join(sorted(strangers))}")
    (work / "calls.json").write_text(json.dumps(calls))


def _by_path(file: str):
    """The module of that file in components/, which is not on the path."""
    path = pathlib.Path(__file__).parent.parent / file
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def batch_of_one(element, dtype: str, rank=None):
    """An array or list [1, ...] of that dtype from bytes or an array; the element itself for an input of its own rank,
    which takes no batch.

    Raises:
      TypeError: bytes where numbers are wanted, or the other way round.
    """
    if isinstance(element, bytes) != (dtype == "string"):
        raise TypeError(f"an input of {dtype} cannot be made of {type(element).__name__}")
    if dtype == "string":
        return element if rank == 0 else [element]
    return element.astype(dtype) if rank == element.ndim else element[None].astype(dtype)


def check(name: str, key: str, value, is_whole: bool = False) -> None:
    """Raises ValueError for an output that is not a batch of one, is empty text, or is not finite.

    Args:
      is_whole: whether it is an element without a batch, as texts of rank 0 are, as it went in or as a part of that.
    """
    import numpy as np

    is_whole = is_whole or value.ndim == 0 and value.dtype == object
    if not is_whole and (value.ndim < 1 or value.shape[0] != 1):
        raise ValueError(f"{name}: output '{key}' has shape {value.shape} for a batch of 1")
    if value.dtype == object:
        if not all(value.ravel()):
            raise ValueError(f"{name}: output '{key}' is empty")
    elif value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError(f"{name}: output '{key}' is not finite")


def png_size(encoded: bytes) -> tuple[int, int]:
    """Height and width that a PNG says of itself in bytes 16 to 23. Raises ValueError: no PNG."""
    if not encoded.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError("a picture came back that is no PNG")
    width, height = struct.unpack(">II", encoded[16:24])
    return height, width


def same_size(name: str, got, wanted) -> None:
    """Raises ValueError if a served picture does not have its original's height and width."""
    if tuple(got) != tuple(wanted):
        raise ValueError(f"{name}: a picture of {tuple(wanted)} came back as {tuple(got)}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
