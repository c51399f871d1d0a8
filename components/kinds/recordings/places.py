"""What a folder or an archive of recordings holds, told without decoding any: records, digests, labels, splits.

A record is a WFDB header with its signal files, or a MATLAB matrix alone. Its content is that of its signal files; two
records of one content are one recording, whatever their headers are named.
"""

import base64
import collections
import functools
import hashlib
import math
import os
from typing import NamedTuple

from components.kinds import splits
from components.kinds.containers import ARCHIVES, MAX_BYTES, Member, is_archive, members
from components.kinds.files import DataError, is_hidden, printable
from components.kinds.notes import Notes
from components.kinds.recordings import labels as recording_labels
from components.kinds.recordings.headers import GAP, parts_of, read_header
from components.kinds.recordings.labels import Label, Labels
from components.kinds.recordings.recordings import SUFFIXES, RecordingError
from components.kinds.splits import Item

_NOTES = "recordings/1"


class Record(NamedTuple):
    """One recording.

    Attributes:
      key: path without extension, with "/", as text; its identity in the data set.
      container: path of the archive that holds it, relative to the place; "" for a file of the folder.
      path: as `key`, in the file system's own bytes. header: content of its header, None without one.
      files: paths of its signal files (and of its segments' headers) in the container.
      digest: SHA-256 over the contents of its signal files, hex. size_bytes: of its signal files.
      label: name of its class, "" without one. split: one of SPLITS. group: whom it is of, "" if nobody says.
    """

    key: str
    container: str
    path: str
    header: bytes | None
    files: tuple[str, ...]
    digest: str
    size_bytes: int
    label: str = ""
    split: str = ""
    group: str = ""


class Place(NamedTuple):
    """What `scan` found; every list is sorted.

    Attributes:
      records: one for each content that is used; all of them labelled if any is.
      label_version: name of the file with the labels, "" without one.
      duplicates: [{"path", "same_as"}]: records whose content is already in `records`.
      unreadable: [{"path", "reason"}]: files that could not be opened, are empty, or lack their header or signal.
      unlabelled: keys of records without a label, where others have one; they are left out of `records`.
      unknown_records: names in the label file of which there is no recording.
      ignored: how many other files there are, by extension.
      digest: SHA-256, hex, over all of this.
    """

    records: list[Record]
    label_version: str
    duplicates: list[dict[str, str]]
    unreadable: list[dict[str, str]]
    unlabelled: list[str]
    unknown_records: list[str]
    ignored: dict[str, int]
    digest: str


class _Found:
    """Files of a place by kind, collected while they are read once."""

    def __init__(self):
        self.headers: dict[tuple[str, str], bytes] = {}
        self.signals: dict[tuple[str, str], tuple[str, int]] = {}  # digest and size
        self.labels: dict[str, bytes] = {}
        self.unreadable: list[dict[str, str]] = []
        self.broken: set[tuple[str, str]] = set()  # what is refused once is not listed again
        self.ignored: collections.Counter[str] = collections.Counter()

    def add(self, container: str, path: str, seen: list) -> None:
        """Takes what `_look` saw of one file."""
        what, *said = seen
        if what == "ignored":
            self.ignored[said[0]] += 1
        elif what == "refused":
            self._refuse(container, path, said[0])
        elif what == "labels":
            self.labels[os.path.join(container, path)] = base64.b64decode(said[0])
        elif what == "header":
            self.headers[container, path] = base64.b64decode(said[0])
        else:
            self.signals[container, path] = said[0], said[1]

    def _refuse(self, container: str, path: str, reason: str) -> None:
        self.unreadable.append({"path": printable(os.path.join(container, path)), "reason": reason})
        self.broken.add((container, os.path.splitext(path)[0]))

    def records(self) -> list[Record]:
        """The records that the files make; the rest goes to `unreadable`."""
        used: set[tuple[str, str]] = set()
        records = []
        parts = self._segments()
        for (container, path), content in self.headers.items():
            stem = path[: -len(".hea")]
            if (container, path) in parts or (container, stem) in self.broken:
                continue
            try:
                files = self._files(container, path)
            except RecordingError as error:
                self._refuse(container, path, str(error).partition(": ")[2])
                continue
            signals = [self.signals[container, file] for file in files if (container, file) in self.signals]
            used |= {(container, file) for file in files}
            digest = hashlib.sha256("".join(digest for digest, _ in signals).encode()).hexdigest()
            size = sum(size for _, size in signals)
            records.append(Record("", container, stem, content, tuple(files), digest, size))
        for (container, path), (digest, size) in self.signals.items():
            stem, suffix = os.path.splitext(path)
            if (container, path) in used or (container, stem) in self.broken:
                continue
            if suffix.lower() == ".mat":
                digest = hashlib.sha256(digest.encode()).hexdigest()
                records.append(Record("", container, stem, None, (path,), digest, size))
            else:
                self._refuse(container, path, f"there is no header {os.path.basename(stem)}.hea beside it")
        return records

    def _segments(self) -> set[tuple[str, str]]:
        """Headers that are parts of records of several segments."""
        by_container = collections.defaultdict(dict)
        for (container, path), content in self.headers.items():
            by_container[container][path] = content
        return {(container, path) for container, headers in by_container.items() for path in parts_of(headers)[0]}

    def _files(self, container: str, path: str) -> list[str]:
        """Paths of the signal files of a header, and of its segments' headers; raises RecordingError if one lacks."""
        folder = os.path.dirname(path)
        header = read_header(self.headers[container, path], path)
        files = list(dict.fromkeys(os.path.join(folder, lead.file) for lead in header.leads))
        for name, _ in header.segments:
            part = os.path.join(folder, name + ".hea")
            if name == GAP:  # between segments
                continue
            if (container, part) not in self.headers:
                raise RecordingError(f"{path}: its segment {name} is not there")
            files += [part, *self._files(container, part)]
        files = [file for file in dict.fromkeys(files) if os.path.basename(file) != GAP]
        for file in files:
            if (container, file) not in self.signals and (container, file) not in self.headers:
                raise RecordingError(f"{path}: its signal {os.path.basename(file)} is not there, or cannot be read")
        return files


def _look(member: Member) -> list:
    """What there is to know of one file, fit for JSON; of a signal only digest and size stay.

    Raises:
      OSError: it cannot be read.
    """
    name = os.path.basename(member.path)
    suffix = os.path.splitext(name)[1].lower()
    if is_hidden(member.path):
        return ["ignored", "hidden"]
    if suffix not in SUFFIXES and not recording_labels.is_label_file(name):
        return ["ignored", suffix or "no extension"]
    if member.size_bytes > MAX_BYTES:
        return ["refused", f"{member.size_bytes >> 20} MB, at most {MAX_BYTES >> 20} are read"]
    content = member.read()
    if recording_labels.is_label_file(name):
        return ["labels", base64.b64encode(content).decode()]
    if not content:
        return ["refused", "the file is empty"]
    if suffix == ".hea":
        return ["header", base64.b64encode(content).decode()]
    return ["signal", hashlib.sha256(content).hexdigest(), len(content)]


def _seen(member: Member) -> list:
    """As `_look`, with what cannot be read as refused."""
    try:
        return _look(member)
    except OSError as error:
        return ["refused", f"cannot be opened: {error.strerror or error}"]


def _collected(place: str) -> _Found:
    """All files of a place, each looked at once; those that did not change are known from notes."""
    found = _Found()
    with Notes(place, _NOTES) as notes:
        for container in _containers(place):
            path = os.path.join(place, container) if container else place
            if container or os.path.isfile(place):
                look = functools.partial(lambda path: [[m.path, _seen(m)] for m in members(path)], path)
                for inner, seen in notes.of(container, look):
                    found.add(container, inner, seen)
                continue
            for member in members(path):
                if not is_archive(member.path):
                    try:
                        seen = notes.of(member.path, functools.partial(_look, member))
                    except OSError as error:
                        seen = ["refused", f"cannot be opened: {error.strerror or error}"]
                    found.add(container, member.path, seen)
    return found


def scan(place: str, known_labels: tuple[str, ...] = ()) -> Place:
    """Looks at every file of a folder, of the archives in it, or of one archive once, for labels and digests.

    Files that did not change since the last time are not read again (`components.kinds.notes`).

    Args:
      place: a folder (sub-folders included) or an archive.
      known_labels: labels that are accepted; empty: any.

    Raises:
      DataError: there is no such place or no recording in it, the labels cannot be read or used, one person was asked
        to be in two splits, or an archive is damaged.
    """
    if not place or not os.path.exists(place):
        raise DataError(f"the folder or archive of recordings {place!r} does not exist")
    if os.path.isfile(place) and not is_archive(place):
        raise DataError(f"{place!r} is no folder and no archive ({', '.join(ARCHIVES)})")
    found = _collected(place)
    records = found.records()
    if not records:
        others = ", ".join(f"{count} {kind}" for kind, count in found.ignored.most_common(5)) or "nothing"
        first = "".join(f"{u['path']}: {u['reason']}" for u in found.unreadable[:1])
        raise DataError(f"no recording in {place!r} can be read ({first or f'it holds {others}'})")
    several = len({record.container for record in records}) > 1
    records = sorted(
        record._replace(key=printable(os.path.join(record.container, record.path) if several else record.path))
        for record in records
    )
    return _describe(found, records, recording_labels.choose(found.labels), known_labels)


def _containers(place: str) -> list[str]:
    """The folder or archive itself (""), and the archives right inside a folder."""
    if os.path.isfile(place):
        return [""]
    return ["", *sorted(name for name in os.listdir(place) if is_archive(name) and not name.startswith("."))]


def _describe(found: _Found, records: list[Record], labels: Labels, known: tuple[str, ...]) -> Place:
    """Gives the records their labels and splits, and drops those that repeat another or lack a label."""
    asked = _labels_of(records, labels)
    odd = sorted((label.name, key) for key, label in asked.items() if known and label.name not in ("", *known))
    if odd:
        raise DataError(
            f"{labels.version}: {len(odd)} labels are none of {', '.join(known)} (the first: {odd[0][0]!r} of "
            f"{odd[0][1]}); recordings with labels of their own are read as --dataset wfdb_folder"
        )
    kept, duplicates = _distinct(records, asked)
    is_labelled = any(label.name for label in asked.values())
    unlabelled = sorted(r.key for r in kept if is_labelled and not asked[r.key].name)
    left = [
        r._replace(label=asked[r.key].name, split=asked[r.key].split, group=asked[r.key].group)
        for r in kept
        if r.key not in set(unlabelled)
    ]
    left = sorted(split_records(left))
    unreadable = sorted(found.unreadable, key=lambda entry: entry["path"])
    here = {os.path.splitext(entry["path"])[0] for entry in unreadable} | {r.key for r in records}
    unknown = sorted(set(labels.of) - here - {r.path for r in records} - {os.path.basename(name) for name in here})
    listed = [(r.key, r.container, r.header, r.digest, r.label, r.split) for r in left]  # groups decide by the split
    digest = hashlib.sha256(repr((listed, duplicates, unreadable, unlabelled, unknown)).encode()).hexdigest()
    ignored = dict(sorted(found.ignored.items()))
    return Place(left, labels.version, duplicates, unreadable, unlabelled, unknown, ignored, digest)


def _labels_of(records: list[Record], labels: Labels) -> dict[str, Label]:
    """The label of each record by its key: that of its path, else that of its name."""
    asked, by_name = {}, {}
    for record in records:
        name = os.path.basename(record.path)
        label = labels.of.get(record.key) or labels.of.get(record.path)
        if label is None and name in labels.of:
            label = labels.of[name]
            twin = by_name.setdefault(name, record)
            if twin.digest != record.digest:
                raise DataError(
                    f"{labels.version}: {name} names two different recordings ({twin.key} and {record.key}); write "
                    "their paths in a labels.csv"
                )
        asked[record.key] = label or Label("", "")
    return asked


def _distinct(records: list[Record], asked: dict[str, Label]) -> tuple[list[Record], list[dict[str, str]]]:
    """One record for each content, a labelled one if there is any, and [{"path", "same_as"}] of the others."""
    first: dict[str, Record] = {}
    duplicates = []
    for record in sorted(records, key=lambda record: (not asked[record.key].name, record.key)):
        kept = first.setdefault(record.digest, record)
        if kept is record:
            continue
        one, other = asked[kept.key].name, asked[record.key].name
        if other and other != one:
            paths = f"{kept.key} and {record.key}"
            raise DataError(f"one recording has two labels, {one!r} and {other!r} ({paths}); keep one of them")
        duplicates.append({"path": record.key, "same_as": kept.key})
    return list(first.values()), sorted(duplicates, key=lambda entry: entry["path"])


def split_records(records: list[Record]) -> list[Record]:
    """The records with their splits: a split that is set stays, the others are split 8:1:1 within each label.

    Recordings of one person fall into one split where a column says of whom they are, or folders do (`splits.grouped`).
    The result depends on contents, labels and persons alone, not on order; another recording may move one across a
    border (`splits.deal`).
    """
    if not any(record.group for record in records):
        guessed = splits.grouped([Item(r.digest, r.label, os.path.dirname(r.path), r.split) for r in records])
        records = [record._replace(group=item.group) for record, item in zip(records, guessed, strict=True)]
    items = [Item(record.digest, record.label, record.group, record.split) for record in records]
    dealt = splits.deal(items, few=math.inf, first="test")
    return [record._replace(split=split) for record, split in zip(records, dealt, strict=True)]


def looks_like_challenge(place: str) -> bool:
    """Whether a place looks like a copy of the challenge: an archive, or a folder with `.mat`, labels or archives."""
    if os.path.isfile(place):
        return is_archive(place)
    return any(
        member.path.lower().endswith((".mat", *ARCHIVES)) or recording_labels.is_label_file(member.path)
        for member in members(place)
    )
