"""MATLAB matrices as PhysioNet writes signals: version 4 by its 20-byte header, version 5 by SciPy."""

import io
import struct

import numpy as np
import scipy.io

from models.contract.errors import KompaktError

_TYPES = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}  # the tens of a version 4 type
_HEADER_BYTES = 20


class RecordingError(KompaktError, ValueError):
    """A file that is no recording, a damaged one, or one that is not supported; the text is one line."""


def matrix_of(content: bytes, name: str) -> np.ndarray:
    """The matrix of a `.mat` file, [leads, samples], in the file's own numbers.

    Args:
      content: of the file; of version 4 the first matrix is taken, of version 5 the one named `val`.
      name: for messages.

    Raises:
      RecordingError: not such a file, or it is cut off.
    """
    if content.startswith(b"MATLAB 5"):
        return _version_5(content, name)
    if len(content) < _HEADER_BYTES:
        raise RecordingError(f"{name}: not a MATLAB file: {len(content)} bytes")
    order = "<" if struct.unpack("<I", content[:4])[0] < 5000 else ">"
    kind, rows, columns, imaginary, name_bytes = struct.unpack(order + "5i", content[:_HEADER_BYTES])
    # Thousands: byte order; hundreds: zero; tens: type of the numbers; ones: 0 is a full matrix.
    number = _TYPES.get(kind // 10 % 10)
    if kind != (1000 * (order == ">") + kind // 10 % 10 * 10) or number is None or imaginary or not 0 < name_bytes < 64:
        raise RecordingError(f"{name}: not a MATLAB file of version 4 or 5 (it starts with {content[:16]!r})")
    if rows < 1 or columns < 1:
        raise RecordingError(f"{name}: damaged: its header says {rows} leads of {columns} samples")
    start, dtype = _HEADER_BYTES + name_bytes, np.dtype(order + number)
    wanted, there = rows * columns * dtype.itemsize, max(0, len(content) - start)
    if there < wanted:
        raise RecordingError(f"{name}: cut off: {there} of {wanted} bytes of the signal are there")
    matrix = np.frombuffer(content, dtype, rows * columns, start).reshape(columns, rows).T
    return _upright(matrix.astype(dtype.newbyteorder("=")))


def _version_5(content: bytes, name: str) -> np.ndarray:
    """The matrix `val` of a version 5 file."""
    try:
        found = scipy.io.loadmat(io.BytesIO(content), variable_names=["val"]).get("val")
    except Exception as error:  # Damaged files make SciPy raise nearly any kind of error.
        raise RecordingError(f"{name}: damaged MATLAB file: {' '.join(str(error).split())[:200]}") from None
    if found is None or found.ndim != 2 or found.dtype.kind not in "iuf" or not found.size:
        raise RecordingError(f"{name}: the MATLAB file holds no matrix of numbers named 'val'")
    return _upright(found)


def _upright(matrix: np.ndarray) -> np.ndarray:
    """[leads, samples], also of one lead that lies as a column."""
    return matrix.T if matrix.shape[1] == 1 else matrix
