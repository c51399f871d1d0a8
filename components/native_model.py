"""SavedModels through TensorFlow's C library, as servers and other languages run them: no Python in the graph's way.

The library lies in TensorFlow's own wheel and is opened by ctypes, so that a model answers before `import tensorflow`
would have returned. It loads what `tf.saved_model.load` repairs or ignores as TensorFlow Serving does: variables that
the restore op does not fill stay unset. Stands alone: needs NumPy, and nothing of this
project.
"""

import contextlib
import ctypes
import gzip
import importlib.util
import os
import pathlib
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

# Numbers of tensorflow/core/framework/types.proto.
_STRING = 7
_DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", _STRING: "string", 9: "int64", 10: "bool", 19: "float16"}
_NUMBERS = {name: number for number, name in _DTYPES.items()}
_TSTRING_BYTES = 24  # sizeof(TF_TString), part of the library's stable interface
# A session that runs its graph without the optimiser, as parts are, which were optimised when they were cut:
# ConfigProto(graph_options.rewrite_options.disable_meta_optimizer = true).
AS_IT_IS = bytes.fromhex("52055203980101")


class NativeError(ValueError):
    """A model that the library cannot load, or an input that a model refused; `message` is TensorFlow's own text."""

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message


class LibraryMissing(RuntimeError):
    """TensorFlow's C library is not where its wheel has it."""


class Argument(NamedTuple):
    """An input or output of a signature: the graph's name for it, the name of its dtype, its rank where it says one."""

    tensor: str
    dtype: str
    rank: int | None = None


class Signature(NamedTuple):
    """What a signature takes and gives: name -> Argument."""

    inputs: dict[str, Argument]
    outputs: dict[str, Argument]


class Session:
    """A graph of the C library and a session that runs it; the graph is made by subclasses.

    Raises:
      LibraryMissing: no library.
    """

    def __init__(self):
        self._c = library()
        self._graph, self._session = self._c.TF_NewGraph(), None

    def run(self, given: Sequence[tuple[str, str, Any]], wanted: Sequence[str]) -> list[np.ndarray]:
        """Feeds tensors and fetches others.

        Args:
          given: (name of the tensor, name of its dtype, an array or (nested) lists) of each that is fed.
          wanted: names of those that are fetched.

        Returns:
          An array for each; strings are arrays of objects, of bytes.

        Raises:
          NativeError: the graph refused the values.
        """
        sources = (_Output * len(given))(*(self._place(tensor) for tensor, _, _ in given))
        fetched = (_Output * len(wanted))(*(self._place(tensor) for tensor in wanted))
        results = (ctypes.c_void_p * len(wanted))()
        with contextlib.ExitStack() as held:
            tensors = [held.enter_context(_given(self._c, values, dtype)) for _, dtype, values in given]
            status = held.enter_context(self._status())
            self._c.TF_SessionRun(
                self._session, None, sources, (ctypes.c_void_p * len(given))(*tensors), len(given),
                fetched, results, len(wanted), None, 0, None, status,
            )  # fmt: skip
        try:
            return [_array(self._c, tensor) for tensor in results]
        finally:
            for tensor in results:
                self._c.TF_DeleteTensor(tensor)

    def _place(self, tensor: str) -> "_Output":
        operation, _, index = tensor.partition(":")
        found = self._c.TF_GraphOperationByName(self._graph, operation.encode())
        if not found:
            raise NativeError(f"the graph has no operation {operation}")
        return _Output(found, int(index or 0))

    @contextlib.contextmanager
    def _status(self) -> Iterator[int]:
        """A status for one call; raises NativeError for what it says then."""
        status = self._c.TF_NewStatus()
        try:
            yield status
            if self._c.TF_GetCode(status):
                raise NativeError(self._c.TF_Message(status).decode(errors="replace"))
        finally:
            self._c.TF_DeleteStatus(status)

    @contextlib.contextmanager
    def _options(self, config: bytes) -> Iterator[int]:
        """Options of a session; `config` is a serialised ConfigProto."""
        options = self._c.TF_NewSessionOptions()
        try:
            with self._status() as status:
                self._c.TF_SetConfig(options, config, len(config), status)
            yield options
        finally:
            self._c.TF_DeleteSessionOptions(options)

    def close(self) -> None:
        """Frees session and graph; they are of no use afterwards."""
        if self._session:
            for end in (self._c.TF_CloseSession, self._c.TF_DeleteSession):
                with self._status() as status:
                    end(self._session, status)
            self._session = None
        if self._graph:
            self._c.TF_DeleteGraph(self._graph)
            self._graph = None

    def __del__(self):
        if getattr(self, "_graph", None):  # else not made, or closed
            self.close()

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.close()


class NativeModel(Session):
    """A SavedModel in a session of the C library.

    Attributes:
      signatures: name -> Signature, in alphabetical order.

    Args:
      directory: holds saved_model.pb and variables. tags: of the graph to load.
      config: a serialised ConfigProto of the session; empty for TensorFlow's defaults.

    Raises:
      LibraryMissing: no library.
      NativeError: no model there, or one that cannot be loaded.
    """

    def __init__(self, directory: str | os.PathLike, tags: Sequence[str] = ("serve",), config: bytes = b""):
        super().__init__()
        described = self._c.TF_NewBuffer()
        names = (ctypes.c_char_p * len(tags))(*(tag.encode() for tag in tags))
        try:
            with self._options(config) as options, self._status() as status:
                self._session = self._c.TF_LoadSessionFromSavedModel(
                    options, None, os.fsencode(directory), names, len(tags), self._graph, described, status
                )
            data = described.contents
            self.signatures = _signatures_of(ctypes.string_at(data.data, data.length))
        finally:
            self._c.TF_DeleteBuffer(described)

    def __call__(self, name: str, **values) -> dict[str, np.ndarray]:
        """Calls a signature.

        Args:
          name: of the signature. values: for each input an array, or (nested) lists of numbers or bytes.

        Returns:
          Output name -> array; strings are arrays of objects, of bytes.

        Raises:
          KeyError: no such signature. TypeError: not the inputs that it takes.
          NativeError: the model refused the values.
        """
        inputs, outputs = self.signatures[name]
        if set(values) != set(inputs):
            raise TypeError(f"{name} takes {', '.join(sorted(inputs))}, not {', '.join(sorted(values))}")
        given = [(spec.tensor, spec.dtype, values[key]) for key, spec in inputs.items()]
        return dict(zip(outputs, self.run(given, [spec.tensor for spec in outputs.values()]), strict=True))


def signatures_at(directory: str | os.PathLike) -> dict[str, Signature]:
    """The signatures of the SavedModel at a folder, read without loading it.

    Raises:
      NativeError: no model there, or a damaged one.
    """
    path = pathlib.Path(directory) / "saved_model.pb"
    try:
        graphs = [bytes(value) for field, value in _fields(memoryview(path.read_bytes())) if field == 2]
        return _signatures_of(graphs[0])
    except OSError as error:
        raise NativeError(f"no model at {directory}: {error.strerror}") from error
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise NativeError(f"{path}: damaged, or no SavedModel") from error


def load_part(directory: str | os.PathLike, signature: str) -> NativeModel:
    """A model that answers one signature of an exported model, from the part that lies beside it where there is one.

    Raises:
      LibraryMissing, NativeError: as `NativeModel`.
    """
    whole = pathlib.Path(directory).absolute()
    part = whole / "assets.extra" / "parts" / f"{signature}.pb.gz"
    if not part.is_file():
        return NativeModel(whole)
    with tempfile.TemporaryDirectory(prefix="kompakt-") as together:  # a part reads the variables of the whole
        try:
            content = gzip.decompress(part.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise NativeError(f"{part}: damaged") from error
        pathlib.Path(together, "saved_model.pb").write_bytes(content)
        os.symlink(whole / "variables", os.path.join(together, "variables"))
        return NativeModel(together, config=AS_IT_IS)


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class _Buffer(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("free", ctypes.c_void_p))


_PROTOTYPES = {  # function: (result, arguments), of tensorflow/c/c_api.h
    "TF_NewGraph": (ctypes.c_void_p, ()),
    "TF_DeleteGraph": (None, (ctypes.c_void_p,)),
    "TF_NewSessionOptions": (ctypes.c_void_p, ()),
    "TF_SetConfig": (None, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)),
    "TF_DeleteSessionOptions": (None, (ctypes.c_void_p,)),
    "TF_NewBuffer": (ctypes.POINTER(_Buffer), ()),
    "TF_DeleteBuffer": (None, (ctypes.POINTER(_Buffer),)),
    "TF_NewStatus": (ctypes.c_void_p, ()),
    "TF_DeleteStatus": (None, (ctypes.c_void_p,)),
    "TF_GetCode": (ctypes.c_int, (ctypes.c_void_p,)),
    "TF_Message": (ctypes.c_char_p, (ctypes.c_void_p,)),
    "TF_LoadSessionFromSavedModel": (
        ctypes.c_void_p,
        (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p,
         ctypes.POINTER(_Buffer), ctypes.c_void_p),
    ),
    "TF_CloseSession": (None, (ctypes.c_void_p, ctypes.c_void_p)),
    "TF_DeleteSession": (None, (ctypes.c_void_p, ctypes.c_void_p)),
    "TF_NewSession": (ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)),
    "TF_NewOperation": (ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)),
    "TF_SetAttrType": (None, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)),
    "TF_SetAttrInt": (None, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64)),
    "TF_SetAttrBool": (None, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ubyte)),
    "TF_SetAttrString": (None, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)),
    "TF_AddInput": (None, (ctypes.c_void_p, _Output)),
    "TF_FinishOperation": (ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_void_p)),
    "TF_GraphOperationByName": (ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p)),
    "TF_SessionRun": (
        None,
        (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p,
         ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p),
    ),
    "TF_AllocateTensor": (ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)),
    "TF_DeleteTensor": (None, (ctypes.c_void_p,)),
    "TF_TensorData": (ctypes.c_void_p, (ctypes.c_void_p,)),
    "TF_TensorType": (ctypes.c_int, (ctypes.c_void_p,)),
    "TF_TensorByteSize": (ctypes.c_size_t, (ctypes.c_void_p,)),
    "TF_NumDims": (ctypes.c_int, (ctypes.c_void_p,)),
    "TF_Dim": (ctypes.c_int64, (ctypes.c_void_p, ctypes.c_int)),
    "TF_StringInit": (None, (ctypes.c_void_p,)),
    "TF_StringAssignView": (None, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)),
    "TF_StringDealloc": (None, (ctypes.c_void_p,)),
    "TF_StringGetDataPointer": (ctypes.c_void_p, (ctypes.c_void_p,)),
    "TF_StringGetSize": (ctypes.c_size_t, (ctypes.c_void_p,)),
}  # fmt: skip
_opened: list[ctypes.CDLL] = []


def library() -> ctypes.CDLL:
    """TensorFlow's C library, opened once. Raises LibraryMissing."""
    if not _opened:
        found = importlib.util.find_spec("tensorflow")  # does not import it
        try:
            if found is None:
                raise OSError("TensorFlow is not installed")
            folder = pathlib.Path(found.submodule_search_locations[0])
            # Not global: its copy of upb would take the place of the one that Python's protobuf has, which dies of it.
            ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"), ctypes.RTLD_LOCAL)
            opened = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"), ctypes.RTLD_LOCAL)
            for name, (result, arguments) in _PROTOTYPES.items():
                function = getattr(opened, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError) as error:
            raise LibraryMissing(f"TensorFlow's C library cannot be used: {error}") from error
        _opened.append(opened)
    return _opened[0]


@contextlib.contextmanager
def _given(c: ctypes.CDLL, values, dtype: str) -> Iterator[int]:
    """A tensor of that dtype that lives as long as the context."""
    if dtype not in _NUMBERS:
        raise TypeError(f"inputs of {dtype} are not supported")
    array = np.asarray(values, object if dtype == "string" else dtype)
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    size = array.size * _TSTRING_BYTES if dtype == "string" else array.nbytes
    tensor = c.TF_AllocateTensor(_NUMBERS[dtype], shape, array.ndim, size)
    data = c.TF_TensorData(tensor)
    texts = [data + _TSTRING_BYTES * i for i in range(array.size)] if dtype == "string" else []
    for place in texts:
        c.TF_StringInit(place)
    try:
        for place, value in zip(texts, array.ravel(), strict=False):
            c.TF_StringAssignView(place, value, len(value))  # no copy: `array` holds the bytes
        if not texts:
            ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, array.nbytes)
        yield tensor
    finally:
        for place in texts:
            c.TF_StringDealloc(place)
        c.TF_DeleteTensor(tensor)


def _array(c: ctypes.CDLL, tensor: int) -> np.ndarray:
    """A copy of what a tensor holds."""
    shape = [c.TF_Dim(tensor, axis) for axis in range(c.TF_NumDims(tensor))]
    number, data = c.TF_TensorType(tensor), c.TF_TensorData(tensor)
    if number not in _DTYPES:
        raise TypeError(f"outputs of TensorFlow's dtype {number} are not supported")
    if number != _STRING:
        return np.frombuffer(ctypes.string_at(data, c.TF_TensorByteSize(tensor)), _DTYPES[number]).reshape(shape)
    places = [data + _TSTRING_BYTES * i for i in range(int(np.prod(shape)))]
    texts = np.empty(len(places), object)
    texts[:] = [ctypes.string_at(c.TF_StringGetDataPointer(p), c.TF_StringGetSize(p)) for p in places]
    return texts.reshape(shape)


def _signatures_of(meta_graph: bytes) -> dict[str, Signature]:
    """The signatures that a serialised MetaGraphDef names, without what the loader itself calls.

    Of protobuf's wire format a few fields are read; the classes for it come with all of TensorFlow only.
    """

    def arguments(infos):
        """TensorInfo: 1 is the tensor's name, 2 its dtype, 3 its shape: 2 there is a side, 3 that none is known."""
        found = {_text(entry[1]): dict(_fields(entry[2])) for entry in infos}
        sides = {name: [field for field, _ in _fields(info.get(3, b"\x18\1"))] for name, info in found.items()}
        ranks = {name: None if 3 in fields else len(fields) for name, fields in sides.items()}
        return {n: Argument(_text(found[n][1]), _DTYPES.get(found[n].get(2), "?"), ranks[n]) for n in sorted(found)}

    signatures = {}
    for field, value in _fields(memoryview(meta_graph)):
        if field == 5:  # MetaGraphDef.signature_def, a map: 1 is the key, 2 the value
            entry = dict(_fields(value))
            parts = list(_fields(entry[2]))
            inputs, outputs = ([dict(_fields(v)) for f, v in parts if f == which] for which in (1, 2))
            signatures[_text(entry[1])] = Signature(arguments(inputs), arguments(outputs))
    return {name: found for name, found in sorted(signatures.items()) if not name.startswith("__")}


def _text(value: memoryview) -> str:
    return bytes(value).decode()


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of each field of a serialised message: an integer, or the bytes of text or of a message."""
    place = 0

    def varint():
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place, value, shift = place + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while place < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
        else:
            length = varint() if kind == 2 else {1: 8, 5: 4}[kind]
            yield key >> 3, message[place : place + length]
            place += length
