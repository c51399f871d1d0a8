"""Plain picture files as TensorFlow decodes them, through its C library where it is found: `import` takes seconds."""

import functools

import numpy as np

from components.native_model import LibraryMissing, NativeError, Session


def decode(encoded: bytes) -> np.ndarray:
    """What `models.records.pictures.decode` makes of a file that has nothing to be looked up: uint8 [H, W, C].

    Args:
      encoded: a PNG of 8 bits without palette and transparent colour, a grey or colour JPEG, or a BMP of 24 bits, of
        no more than `models.entropy.coder.header.MAX_PIXELS`.

    Raises:
      ValueError: TensorFlow refuses the file.
    """
    try:
        return _native().decode(encoded)
    except LibraryMissing:
        return _by_python(encoded)


class _Decoder(Session):
    """A graph of the two operations that decode."""

    def __init__(self):
        super().__init__()
        self._add("Placeholder", "encoded", dtype=7)
        self._add("DecodeJpeg", "jpeg", "encoded", channels=0, dct_method=b"INTEGER_ACCURATE")
        self._add("DecodeImage", "other", "encoded", channels=0, expand_animations=False)
        with self._options(b"") as options, self._status() as status:
            self._session = self._c.TF_NewSession(self._graph, options, status)

    def decode(self, encoded: bytes) -> np.ndarray:
        is_jpeg = encoded.startswith(b"\xff\xd8\xff")
        return self.run([("encoded", "string", encoded)], ["jpeg" if is_jpeg else "other"])[0]

    def _add(self, kind: str, name: str, *inputs: str, **attributes: int | bool | bytes) -> None:
        """Adds an operation to the graph; the attribute `dtype` is a type's number."""
        made = self._c.TF_NewOperation(self._graph, kind.encode(), name.encode())
        for tensor in inputs:
            self._c.TF_AddInput(made, self._place(tensor))
        for key, value in attributes.items():
            if key == "dtype":
                self._c.TF_SetAttrType(made, key.encode(), value)
            elif isinstance(value, bytes):
                self._c.TF_SetAttrString(made, key.encode(), value, len(value))
            elif isinstance(value, bool):
                self._c.TF_SetAttrBool(made, key.encode(), value)
            else:
                self._c.TF_SetAttrInt(made, key.encode(), value)
        with self._status() as status:
            self._c.TF_FinishOperation(made, status)


@functools.cache
def _native() -> _Decoder:
    return _Decoder()


def _by_python(encoded: bytes) -> np.ndarray:
    import tensorflow as tf

    from models.records import pictures as picture_records

    try:
        return picture_records.decode(tf.constant(encoded), channels=0).numpy()
    except tf.errors.OpError as error:
        raise NativeError(error.message) from error
