"""The file of a coded clip, `.kmv`: groups of frames, each a stream of its own that can be read alone.

Without TensorFlow. All numbers are little-endian.

    header   "KMV", version (1), CRC-32 of the rest of the header (4), fingerprint of the model (4), origin (8),
             width (4), height (4), frame rate: numerator (4), denominator (4), colour range (1), matrix (1), most
             frames of a group (2)
    group    "KG", frames (2), first frame (4), bytes of its stream (4), the stream, CRC-32 of all that is the group's
    index    per group: offset (8), bytes of its stream (4), first frame (4), frames (2), its CRC-32 (4)
    end      "KI", 1 if the clip broke off, else 0 (2), groups (4), frames of the clip (8), the header once more,
             CRC-32 of index and end so far (4), bytes of index and end (4)

What the header and the index say stands a second time, at the end and in the groups, so that damage there costs
nothing: it is said, and the other copy is read. Damage to a group costs that group.
"""

import contextlib
import fcntl
import os
import pathlib
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO, NamedTuple

from models.contract.errors import KompaktError

SUFFIX = ".kmv"
MAGIC, VERSION = b"KMV", 1
MAX_SIDE = 65535  # pixels
MAX_GROUP = 65535  # frames
MAX_FRAMES = 2**32 - 1
RANGES = ("limited", "full")  # of the clip's own values; frames are RGB of 0 to 255
MATRICES = ("bt709", "bt601", "bt2020")
_HEADER = struct.Struct("<IQIIIIBBH")  # behind magic, version and CRC
_GROUP = struct.Struct("<2sHII")
_ENTRY = struct.Struct("<QIIHI")
_END = struct.Struct("<2sHIQ")
_CRC = struct.Struct("<I")
_FIXED = len(MAGIC) + 1 + _CRC.size + _HEADER.size
_BLOCK = 1 << 20


class FilmError(KompaktError, ValueError):
    """A `.kmv` that cannot be read or written; the message is one line."""


class GroupError(FilmError):
    """One group is damaged; the others can be read."""


class Header(NamedTuple):
    """What a file says of its clip.

    Attributes:
      fingerprint: of the model that reads it, below 2**32. origin: of what it was made from and how, below 2**64.
      width, height: pixels, 1 to MAX_SIDE. rate: frames a second, above 0.
      colour_range: one of RANGES. matrix: one of MATRICES, between RGB and YUV. group: most frames of a group.
    """

    fingerprint: int
    origin: int
    width: int
    height: int
    rate: Fraction
    colour_range: str = "limited"
    matrix: str = "bt709"
    group: int = 12

    def pack(self) -> bytes:
        """The header as bytes. Raises FilmError: a number does not fit its field."""
        try:
            rest = _HEADER.pack(
                self.fingerprint, self.origin, self.width, self.height, self.rate.numerator, self.rate.denominator,
                RANGES.index(self.colour_range), MATRICES.index(self.matrix), self.group,
            )  # fmt: skip
        except (struct.error, ValueError) as error:
            raise FilmError(f"a clip that has no file: {self}") from error
        packed = MAGIC + bytes([VERSION]) + _CRC.pack(zlib.crc32(rest)) + rest
        Header.unpack(packed)
        return packed

    @staticmethod
    def unpack(data: bytes) -> "Header":
        """The header of the first bytes of a file. Raises FilmError: they are none."""
        if not data.startswith(MAGIC):
            raise FilmError("this is no coded clip: it does not begin with KMV")
        if len(data) < _FIXED:
            raise FilmError("the file is truncated within its header")
        if data[len(MAGIC)] != VERSION:
            raise FilmError(f"unsupported version of the file of a clip: {data[len(MAGIC)]}, not {VERSION}")
        start = len(MAGIC) + 1
        if _CRC.unpack_from(data, start)[0] != zlib.crc32(data[start + _CRC.size : _FIXED]):
            raise FilmError("the header is damaged: its CRC does not fit")
        values = list(_HEADER.unpack_from(data, start + _CRC.size))
        numerator, denominator, colour_range, matrix = values[4:8]
        sides = all(1 <= side <= MAX_SIDE for side in values[2:4])
        if not (sides and numerator and denominator and values[8] and colour_range < 2 and matrix < 3):
            raise FilmError(f"impossible sizes of a clip: {values[2]}x{values[3]}, {numerator}/{denominator} a second")
        return Header(*values[:4], Fraction(numerator, denominator), RANGES[colour_range], MATRICES[matrix], values[8])


class Group(NamedTuple):
    """One group: where it begins in the file, the bytes of its stream, its first frame, its frames, its CRC-32."""

    offset: int
    length: int
    first: int
    frames: int
    crc: int

    def __str__(self):
        return f"frames {self.first} to {self.first + self.frames - 1}"


class Film:
    """Reads a `.kmv`, group by group; a context manager.

    Attributes:
      header: as written. groups: in their order. frames: of the whole clip.
      damage: sentences on what is damaged beside groups, which by itself costs nothing.
      lost: "frames 12 to 23" of groups that are not there any more. is_whole: whether the end is there and whole;
        without it nobody knows of groups behind the last one. is_cut: whether there may have been such: the end is
        not whole, and does not even tell that the groups are all. broke_off: whether what was coded could not be read
        to its end, as the whole end says.

    Raises:
      FilmError: no such file, none of a clip, or one without a readable header.
    """

    def __init__(self, path: str | os.PathLike):
        self.damage: list[str] = []
        self.lost: list[str] = []
        try:
            self._file: BinaryIO = open(path, "rb")
            self._size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise FilmError(f"{path}: cannot be opened ({error.strerror})") from error
        try:
            self._read()
        except FilmError as error:
            self._file.close()
            raise FilmError(f"{path}: {error}") from error

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self._file.close()

    def _read(self) -> None:
        tail = self._tail()
        copy = tail[-_CRC.size * 2 - _FIXED : -_CRC.size * 2] if tail else b""
        try:
            self.header = Header.unpack(self._at(0, _FIXED))
        except FilmError as error:
            if not copy:
                raise
            self.damage.append(f"{error}; its copy at the end is used")
            self.header = Header.unpack(copy)
        if copy and copy != self._at(0, _FIXED) and not self.damage:
            raise FilmError("the header is not that of the file's end")
        self.is_whole = bool(tail)
        self.broke_off = self.is_whole and bool(_end_of(tail)[1])
        self.groups = _entries(tail) if tail else list(self._walk())
        if not tail:
            self.damage.append("the index is missing or damaged; the groups were looked for")
        ends = [0] + [group.first + group.frames for group in self.groups]
        self.frames = ends[-1]
        self.is_cut = not tail and not self._ends_behind_groups()
        for end, group in zip(ends, self.groups, strict=False):
            if end < group.first:
                self.lost.append(f"frames {end} to {group.first - 1}")

    def _at(self, offset: int, count: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(count)

    def _tail(self) -> bytes:
        """Index and end, if they are there and whole; else nothing."""
        least = _END.size + _FIXED + 2 * _CRC.size
        if self._size < _FIXED + least:
            return b""
        length = _CRC.unpack(self._at(self._size - _CRC.size, _CRC.size))[0]
        if not least <= length <= self._size - _FIXED:
            return b""
        tail = self._at(self._size - length, length)
        if zlib.crc32(tail[: -2 * _CRC.size]) != _CRC.unpack_from(tail, length - 2 * _CRC.size)[0]:
            return b""
        mark, broke_off, count, _ = _end_of(tail)
        return tail if mark == b"KI" and broke_off <= 1 and length == least + count * _ENTRY.size else b""

    def _ends_behind_groups(self) -> bool:
        """Whether a damaged index and end are just as long as those of the groups, or tell of as many frames."""
        least = _END.size + _FIXED + 2 * _CRC.size
        if self.groups:
            last = self.groups[-1]
            end = last.offset + _GROUP.size + last.length + _CRC.size
            if self._size - end == len(self.groups) * _ENTRY.size + least:
                return True
        told = self._at(max(self._size - least, 0), _END.size)
        return len(told) == _END.size and _END.unpack(told)[::3] == (b"KI", self.frames)

    def _walk(self) -> Iterator[Group]:
        """The groups that can be told without an index: those whose CRC fits, wherever they begin."""
        place = _FIXED
        while (found := self._group_at(place)) or (place := self._next_mark(place)):
            if found:
                yield found
                place = found.offset + _GROUP.size + found.length + _CRC.size

    def _group_at(self, place: int) -> Group | None:
        head = self._at(place, _GROUP.size)
        if len(head) < _GROUP.size or not head.startswith(b"KG"):
            return None
        _, frames, first, length = _GROUP.unpack(head)
        if not frames or place + _GROUP.size + length + _CRC.size > self._size:
            return None
        crc, left = zlib.crc32(head), length
        while left:  # a mark that is none may be followed by any length
            block = self._file.read(min(left, _BLOCK))
            crc, left = zlib.crc32(block, crc), left - len(block)
        return Group(place, length, first, frames, crc) if self._file.read(_CRC.size) == _CRC.pack(crc) else None

    def _next_mark(self, place: int) -> int:
        """Where the next bytes of a group's mark begin behind a place; 0: nowhere."""
        place += 1
        while block := self._at(place, _BLOCK):
            found = block.find(b"KG")
            if found >= 0:
                return place + found
            place += max(1, len(block) - 1)
        return 0

    def read(self, group: Group) -> bytes:
        """The stream of a group. Raises GroupError: it is damaged; the message says which frames are lost."""
        data = self._at(group.offset, _GROUP.size + group.length + _CRC.size)
        whole = len(data) == _GROUP.size + group.length + _CRC.size
        head = _GROUP.pack(b"KG", group.frames, group.first, group.length)
        fits = whole and data.startswith(head) and _CRC.unpack_from(data, len(data) - 4)[0] == group.crc
        if not (fits and zlib.crc32(data[:-4]) == group.crc):
            raise GroupError(f"{group} are lost: their group is damaged (its CRC does not fit)")
        return data[_GROUP.size : -_CRC.size]

    def group_of(self, frame: int) -> Group:
        """The group that holds a frame. Raises FilmError: none does."""
        for group in self.groups:
            if group.first <= frame < group.first + group.frames:
                return group
        raise FilmError(f"there is no frame {frame}; the clip has {self.frames}")


def _end_of(tail: bytes) -> tuple[bytes, int, int, int]:
    """Mark, whether the clip broke off, groups and frames."""
    return _END.unpack_from(tail, len(tail) - _END.size - _FIXED - 2 * _CRC.size)


def _entries(tail: bytes) -> list[Group]:
    return [Group(*_ENTRY.unpack_from(tail, place * _ENTRY.size)) for place in range(_end_of(tail)[2])]


class Writer:
    """Writes a `.kmv` group by group, under the name PATH.part until `close`; goes on with what is there already.

    Attributes:
      frames: that are written; the next group begins with this one.
      broke_off: to be set where the clip could not be read to its end.

    Raises:
      FilmError: the file cannot be written, or another process writes it.
    """

    def __init__(self, path: str | os.PathLike, header: Header):
        """Args:
        path: of the file. header: of the clip. A part of the same header is gone on with, any other begun anew.
        """
        self.path, self._header = pathlib.Path(path), header.pack()
        self._part, self.broke_off = part_of(path), False
        self._groups: list[Group] = []
        try:
            self._file = open(self._part, "a+b")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._go_on()
        except BlockingIOError as error:
            self._file.close()
            raise FilmError(f"{self._part}: another process writes it") from error
        except OSError as error:
            raise FilmError(f"{self._part}: cannot be written ({error.strerror})") from error
        self.frames = self._groups[-1].first + self._groups[-1].frames if self._groups else 0

    def __enter__(self):
        return self

    def __exit__(self, kind, *error) -> None:
        """Without an error the file is completed, else its part is kept for the next time."""
        if kind is None:
            self.close()
        self._file.close()
        if not self._groups and kind is not None:
            self._part.unlink(missing_ok=True)

    def _go_on(self) -> None:
        self._file.seek(0)
        kept = 0
        if self._file.read(_FIXED) == self._header:
            with Film(self._part) as film:
                kept, next_frame = _FIXED, 0
                for group in film.groups:  # up to the first that is not whole or not the next one
                    if (group.offset, group.first) != (kept, next_frame):
                        break
                    self._groups.append(group)
                    kept, next_frame = kept + _GROUP.size + group.length + _CRC.size, group.first + group.frames
        self._file.truncate(kept)
        self._file.seek(kept)
        if not kept:
            self._file.write(self._header)
            self._file.flush()

    def add(self, stream: bytes, frames: int) -> None:
        """Writes the next group. Raises FilmError: the disk is full, or the sizes do not fit their fields."""
        if not 1 <= frames <= MAX_GROUP or self.frames + frames > MAX_FRAMES or len(stream) >= 2**32:
            raise FilmError(f"a group of {frames} frames and {len(stream)} bytes has no place in the file")
        head = _GROUP.pack(b"KG", frames, self.frames, len(stream))
        crc = zlib.crc32(stream, zlib.crc32(head))
        offset = self._file.tell()
        self._write(head + stream + _CRC.pack(crc))
        self._groups.append(Group(offset, len(stream), self.frames, frames, crc))
        self.frames += frames

    def close(self) -> None:
        """Writes index and end, and gives the file its name. Raises FilmError: no frames, or the disk is full."""
        if not self._groups:
            raise FilmError(f"{self.path}: a clip without frames has no file")
        tail = b"".join(_ENTRY.pack(*group) for group in self._groups)
        tail += _END.pack(b"KI", self.broke_off, len(self._groups), self.frames) + self._header
        tail += _CRC.pack(zlib.crc32(tail))
        self._write(tail + _CRC.pack(len(tail) + _CRC.size))
        os.fsync(self._file.fileno())
        os.replace(self._part, self.path)

    def _write(self, data: bytes) -> None:
        place = self._file.tell()
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(place)
            raise FilmError(f"{self._part}: cannot be written ({error.strerror})") from error


def part_of(path: str | os.PathLike) -> pathlib.Path:
    """Where a file is written until it is whole; a name too long for it is cut."""
    path = pathlib.Path(path)
    name = os.fsencode(path.name)[:240]
    return path.with_name(os.fsdecode(name) + ".part")
