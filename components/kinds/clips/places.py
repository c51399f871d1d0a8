"""Which clips a folder holds, told without decoding any: files, folders of frames, their digests.

FOLDER/runner.mp4            FOLDER/train/runner.mp4          FOLDER/runner/f001.png
FOLDER/dancer_416x240.yuv    FOLDER/test/dancer.mkv           FOLDER/runner/f002.png
"""

import collections
import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from components.kinds.clips.extensions import EXTENSIONS
from components.kinds.clips.frame_folder import LEAST, FrameFolder, pictures_in
from components.kinds.clips.reading import Clip
from components.kinds.files import DataError, is_hidden, printable
from components.kinds.notes import Notes

_BLOCK_BYTES = 1 << 20
_NOTES = "clips/1"


class Found(NamedTuple):
    """One clip: its path below the folder, "" for the folder itself; SHA-256, hex; bytes."""

    path: str
    digest: str
    size_bytes: int


class Place(NamedTuple):
    """What a folder holds.

    Attributes:
      clips: one of each content. duplicates, unreadable, ignored: as of
        `components.kinds.pictures.folders.Folder`.
    """

    clips: list[Found]
    duplicates: list[dict[str, str]]
    unreadable: list[dict[str, str]]
    ignored: dict[str, int]

    @property
    def digest(self) -> str:
        """SHA-256, hex, over all clips, readable or not."""
        listed = [*self.clips, *(sorted(d.items()) for d in self.duplicates + self.unreadable)]
        return hashlib.sha256(repr(listed).encode(errors="surrogateescape")).hexdigest()


def open_clip(path: str | os.PathLike) -> Clip | FrameFolder:
    """The clip of a file, or of a folder of frames. Raises ClipError: there is none that can be read."""
    return FrameFolder(path) if os.path.isdir(path) else Clip(path)


def below(root: str, ignored: collections.Counter[str], path: str = "") -> Iterator[str]:
    """Paths below a folder of its clips, files and folders of frames; counts in `ignored` what else there is."""
    with os.scandir(os.path.join(root, path)) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    pictures = set(pictures_in(os.path.join(root, path)))
    if len(pictures) >= LEAST:
        yield path
    elif pictures:
        ignored["single picture"] += 1
    for entry in found:
        inner = f"{path}/{entry.name}" if path else entry.name
        if is_hidden(entry.name):
            ignored["hidden"] += 1
        elif entry.is_dir():
            if entry.is_symlink():
                ignored["linked folder"] += 1
            else:
                yield from below(root, ignored, inner)
        elif entry.name.lower().endswith(EXTENSIONS):
            yield inner
        elif entry.name not in pictures:
            ignored[os.path.splitext(entry.name)[1].lower() or "no extension"] += 1


def digest_of(path: str) -> list:
    """[SHA-256 of a clip's content, hex; its bytes]; of a folder of frames over its pictures. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    names = [os.path.join(path, name) for name in pictures_in(path)] if os.path.isdir(path) else [path]
    for name in names:
        with open(name, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    return [digest.hexdigest(), size]


def scan(folder: str) -> Place:
    """Walks a folder and reads every clip once for its digest; notes are kept of files that did not change.

    Raises:
      DataError: no such folder, or it holds no clip.
    """
    if not folder or not os.path.isdir(folder):
        kind = "is a file, not a folder" if folder and os.path.exists(folder) else "does not exist"
        raise DataError(f"the folder of clips {folder!r} {kind}")
    ignored: collections.Counter[str] = collections.Counter()
    paths = list(below(folder, ignored))
    if not paths:
        others = ", ".join(f"{count} {kind}" for kind, count in ignored.most_common(5)) or "nothing"
        raise DataError(f"no clip in {folder!r}: wanted are {', '.join(EXTENSIONS)} or folders of frames (it holds "
                        f"{others})")  # fmt: skip
    clips: dict[str, Found] = {}
    duplicates, unreadable = [], []
    with Notes(folder, _NOTES) as notes:
        for path in paths:
            try:
                found = Found(path, *_digest(folder, path, notes))
            except OSError as error:
                reason = f"cannot be opened: {error.strerror}"
                unreadable.append({"path": printable(path), "reason": reason})
                continue
            if clips.setdefault(found.digest, found) is not found:
                duplicates.append({"path": printable(path), "same_as": printable(clips[found.digest].path)})
    if not clips:
        raise DataError(f"no clip in {folder!r} can be read: {unreadable[0]['path']}: {unreadable[0]['reason']}")
    return Place(list(clips.values()), duplicates, unreadable, dict(sorted(ignored.items())))


def _digest(folder: str, path: str, notes: Notes) -> list:
    whole = os.path.join(folder, path)
    if os.path.isdir(whole):  # whose own times do not show that a picture in it changed
        return digest_of(whole)
    return notes.of(path, lambda: digest_of(whole))
