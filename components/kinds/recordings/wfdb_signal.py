"""One lead of a WFDB record, whole or in pieces, at its own rate, of one segment or of several.

The WFDB library decodes the samples. It is given a header of plain text in a temporary folder, with links to the signal
files, so that what is unusual in the original's names, units, dates or lengths does not reach it.
"""

import os
import pathlib
import tempfile
from typing import NamedTuple

import numpy as np
import wfdb

from components.kinds.recordings.headers import GAP, Header, Lead, lead_index, millivolts_in, read_header
from components.kinds.recordings.matlab import RecordingError

_BITS = {"8": 8, "80": 8, "16": 16, "61": 16, "160": 16, "24": 24, "32": 32, "212": 12}
_DIFFERENCES = "8"  # samples are sums of all before them


class _Segment(NamedTuple):
    """A stretch of the record: its header (None: a gap), where it begins and how long it is, in samples of the lead."""

    header: Header | None
    lead: int
    start: int
    length: int


class Signal:
    """One lead of a record.

    Attributes:
      rate: samples a second of the lead. length: its samples. size_bytes: of the signal files.
    """

    def __init__(self, stem: str, header: Header, wanted: int | None, name: str):
        """
        Args:
          stem: path without extension. header: its header. wanted: index of the lead, or None. name: for messages.

        Raises:
          RecordingError: a file is missing or damaged, or no lead can be read.
        """
        self.folder, self.name = pathlib.Path(os.path.dirname(stem) or "."), name
        self._kept: tuple[_Segment, np.ndarray] | None = None
        self.segments = self._laid_out(header, wanted)
        known = [s for s in self.segments if s.header]
        if not known:
            raise RecordingError(f"{name}: its segments hold no signal")
        rates = {s.header.rate * s.header.leads[s.lead].frame for s in known}
        if len(rates) > 1:
            raise RecordingError(f"{name}: its segments have several rates ({', '.join(f'{r:g}' for r in rates)})")
        self.rate, self.length = rates.pop(), sum(s.length for s in self.segments)
        files = {lead.file for s in known for lead in s.header.leads} - {GAP}
        self.size_bytes = sum((self.folder / file).stat().st_size for file in files)

    def _laid_out(self, header: Header, wanted: int | None) -> list[_Segment]:
        """The segments of the record, or the one that it is."""
        if not header.segments:
            index = lead_index(header.leads, wanted, self.name)
            header = header._replace(length=self._frames(header, index))
            return [_Segment(header, index, 0, header.length * header.leads[index].frame)]
        parts = [(None if part == GAP else self._header(part), frames) for part, frames in header.segments]
        leads = next((part.leads for part, _ in parts if part), [])  # of the layout, if there is one
        if not leads:
            raise RecordingError(f"{self.name}: its segments hold no signal")
        first = leads[lead_index(leads, wanted, self.name)]
        segments, start = [], 0
        for part, frames in parts:
            place = _place(part.leads, first, leads) if part and frames else None
            length = frames * first.frame
            segments.append(_Segment(part if place is not None else None, place or 0, start, length))
            start += length
        return segments

    def _header(self, part: str) -> Header:
        path = self.folder / f"{part}.hea"
        if not path.is_file():
            raise RecordingError(f"{self.name}: its segment {part} is not there")
        header = read_header(path.read_bytes(), self.name)
        if header.segments:
            raise RecordingError(f"{self.name}: its segment {part} has segments itself")
        return header

    def _frames(self, header: Header, place: int) -> int:
        """Frames of a header, by the size of a file where it does not say.

        Raises:
          RecordingError: a file is missing, or of a format whose size does not tell.
        """
        for lead in header.leads:
            if not (self.folder / lead.file).is_file():
                raise RecordingError(f"{self.name}: its signal {lead.file} is not there")
        if header.length:
            return header.length
        lead = header.leads[place]
        if lead.format not in _BITS:
            raise RecordingError(f"{self.name}: the header says no length, and format {lead.format} does not tell it")
        size = (self.folder / lead.file).stat().st_size - lead.offset
        together = sum(other.frame for other in header.leads if other.file == lead.file)
        return max(0, size) * 8 // (_BITS[lead.format] * together)

    def read(self, first: int, last: int) -> np.ndarray:
        """Samples from `first` to before `last`, millivolts, float64 with NaN where they are missing.

        Raises:
          RecordingError: WFDB's library cannot read them.
        """
        found = [np.zeros(0)]
        for segment in self.segments:
            begin, end = max(first - segment.start, 0), min(last - segment.start, segment.length)
            if begin < end:
                found.append(self._of(segment, begin, end))
        return np.concatenate(found)

    def _of(self, segment: _Segment, begin: int, end: int) -> np.ndarray:
        if segment.header is None:
            return np.full(end - begin, np.nan)
        lead = segment.header.leads[segment.lead]
        if lead.format != _DIFFERENCES:
            return self._decoded(segment, begin, end)
        if self._kept is None or self._kept[0] is not segment:
            self._kept = segment, self._decoded(segment, 0, segment.length)
        return self._kept[1][begin:end]

    def _decoded(self, segment: _Segment, begin: int, end: int) -> np.ndarray:
        header, index = segment.header, segment.lead
        lead = header.leads[index]
        frames = begin // lead.frame, -(-end // lead.frame)
        scale = millivolts_in(lead, self.name)
        if any(not (self.folder / other.file).is_file() for other in header.leads if other.file == lead.file):
            raise RecordingError(f"{self.name}: its signal {lead.file} is not there")
        try:
            with tempfile.TemporaryDirectory() as folder:
                _write_plain(pathlib.Path(folder), self.folder, header)
                record = wfdb.rdrecord(os.path.join(folder, "r"), *frames, [index], smooth_frames=False)
        except Exception as error:  # Damaged files make the library raise nearly any kind of error.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise RecordingError(f"{self.name}: WFDB cannot read it: {reason[:200]}") from None
        skipped = begin - frames[0] * lead.frame
        found = np.asarray(record.e_p_signal[0], np.float64)[skipped : skipped + end - begin]
        if len(found) != end - begin:
            raise RecordingError(f"{self.name}: WFDB cannot read it: {len(found)} of {end - begin} samples are there")
        return found * scale


def _place(leads: list[Lead], wanted: Lead, of: list[Lead]) -> int | None:
    """Where a lead of the layout is in a segment: by its name, or where all are as in the layout."""
    if [lead.name for lead in leads] == [lead.name for lead in of]:
        return of.index(wanted)
    return next((i for i, lead in enumerate(leads) if lead.name == wanted.name), None)


def _write_plain(folder: pathlib.Path, source: pathlib.Path, header: Header) -> None:
    """Writes a header `r.hea` that says the same in the library's own terms, and links to the files."""
    files = {file: f"s{n}.dat" for n, file in enumerate(dict.fromkeys(lead.file for lead in header.leads))}
    lines = [f"r {len(header.leads)} {header.rate!r} {header.length}"]
    for lead in header.leads:
        skew = f":{lead.skew}" if lead.skew else ""
        lines.append(f"{files[lead.file]} {lead.format}x{lead.frame}{skew}+{lead.offset} "
                     f"{lead.gain!r}({lead.baseline})/mV 0 0 {lead.first} 0 0 lead")  # fmt: skip
    (folder / "r.hea").write_text("\n".join(lines) + "\n", encoding="ascii")
    for file, link in files.items():
        (folder / link).symlink_to((source / file).resolve())
