"""WFDB headers as they are met: what the WFDB library's patterns do not read, or take for something else, too.

A line is its fields between blanks (WFDB's header(5)). Units may have either micro sign, in UTF-8 or Latin-1; names may
hold dots; date and time are not read, since nothing depends on them.
"""

import codecs
import os
import re
import unicodedata
from collections.abc import Mapping
from typing import NamedTuple

from components.kinds.recordings.matlab import RecordingError

RATES = (50, 100_000)  # samples a second; the QRS complex does not survive slower sampling
GAP = "~"  # a segment, or the signals of a layout, without samples
_MILLIVOLTS = {"mv": 1.0, "millivolt": 1.0, "millivolts": 1.0, "": 1.0, "v": 1e3, "volt": 1e3, "volts": 1e3,
               "uv": 1e-3, "μv": 1e-3, "microvolt": 1e-3, "microvolts": 1e-3, "nv": 1e-6}  # fmt: skip
# As WFDB's tools and devices name the leads of an electrocardiogram, first those that are preferred.
_LEADS = (
    re.compile(r"(ecg|ekg)|((ml|d|lead[ _-]?)?(i|ii|1|2))$", re.IGNORECASE),
    re.compile(r"(ml|d|lead[ _-]?)?(iii|3)$|av[rlf]|(m(od)?[ _.-]?)?v[1-9]|mcl|cm[1-6]|cc5", re.IGNORECASE),
)
_OTHER = re.compile(
    r"(?<![a-z])(resp|pleth|ppg|abp|art|bp|nibp|ibp|cvp|pap?|icp|ecog|eeg|emg|eog|spo2|sao2|o2|co2|flow|air|thor|chest|"
    r"nasal|imp|temp|acc|gsr|eda|scg|bcg|pcg|gait|event|marker|sound|snor|mic|hr|rr|sv|uc)",
    re.IGNORECASE,
)
_RECORD = re.compile(r"([^\s/\\]+?)(?:/(\d+))?$")
_RATE = re.compile(r"(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)(?:[/(]|$)", re.IGNORECASE)
_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?$")
_GAIN = re.compile(r"(-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)?(?:\((-?\d+)\))?(?:/(\S+))?$", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d+$")


class Lead(NamedTuple):
    """One signal line: its file and how it lies there; steps per unit, digital value of zero volts, unit, name.

    Attributes:
      frame: samples of this lead in a frame, of which the header's rate is. first: digital value before differences.
    """

    file: str
    format: str = "16"
    frame: int = 1
    skew: int = 0
    offset: int = 0
    gain: float = 200.0
    baseline: int = 0
    units: str = "mV"
    first: int = 0
    name: str = ""


class Header(NamedTuple):
    """A WFDB header: frames a second, frames (0: not said), its leads, (name, frames) of its segments."""

    rate: float
    length: int
    leads: list[Lead]
    segments: list[tuple[str, int]]


def read_header(content: bytes, name: str) -> Header:
    """Parses a WFDB header.

    Raises:
      RecordingError: it is none, names no lead, a file outside its folder, or a rate that no recording has.
    """
    lines = [line for line in map(str.strip, text_of(content).splitlines()) if line and not line.startswith("#")]
    fields = lines[0].split() if lines else []
    record = _RECORD.match(fields[0]) if len(fields) > 1 and fields[1].isdecimal() else None
    if record is None:
        raise RecordingError(f"{name}: the header is damaged: no record line")
    rate = _rate(fields[2] if len(fields) > 2 else "250", name)  # WFDB's own default
    length = int(fields[3]) if len(fields) > 3 and fields[3].isdecimal() else 0
    count = int(record[2] or fields[1])
    rest = lines[1 : 1 + count]
    if not rest or len(rest) < count:
        raise RecordingError(f"{name}: the header is damaged: {len(rest)} of {count} lines follow")
    if record[2]:
        return Header(rate, length, [], [_segment(line, name) for line in rest])
    return Header(rate, length, [_lead(line, name) for line in rest], [])


def text_of(content: bytes) -> str:
    """The text of a header in UTF-8 or UTF-16, with or without a byte order mark, or else in Latin-1."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _rate(field: str, name: str) -> float:
    match = _RATE.match(field)
    if match is None:
        raise RecordingError(f"{name}: the header is damaged: no record line")
    rate = float(match[1])
    if not RATES[0] <= rate <= RATES[1]:
        raise RecordingError(f"{name}: the header says {rate:g} samples a second; {RATES[0]} to {RATES[1]} are read")
    return rate


def _segment(line: str, name: str) -> tuple[str, int]:
    part, *more = line.split()
    if "/" in part or "\\" in part or not more or not more[0].isdecimal():
        raise RecordingError(f"{name}: the header is damaged: cannot read the segment line {line[:60]!r}")
    return part, int(more[0])


def _lead(line: str, name: str) -> Lead:
    """Parses one signal line; no file outside the header's folder is taken."""
    file, *fields = line.split(None, 2)
    layout = _FORMAT.match(fields[0]) if fields else None
    if layout is None or "/" in file or "\\" in file or file in (".", ".."):
        raise RecordingError(f"{name}: the header is damaged: cannot read the signal line {line[:60]!r}")
    rest = fields[1] if len(fields) > 1 else ""
    gain = _GAIN.match(rest.split(None, 1)[0]) if rest else None
    steps, baseline, units = gain.groups() if gain else (None, None, None)
    rest = rest.split(None, 1)[1] if gain and len(rest.split(None, 1)) > 1 else "" if gain else rest
    numbers = []  # resolution, zero, first value, checksum, block size; the name is what stands behind those there are
    while len(numbers) < 5 and rest and _NUMBER.match(rest.split(None, 1)[0]):
        number, *more = rest.split(None, 1)
        numbers.append(int(number))
        rest = more[0] if more else ""
    zero, first = (numbers + [0] * 3)[1:3]
    fmt, frame, skew, offset = layout.groups()
    # A gain of zero means uncalibrated, and 200 steps are then WFDB's rule.
    return Lead(file, fmt, int(frame or 1) or 1, int(skew or 0), int(offset or 0), float(steps or 0) or 200.0,
                int(baseline or zero), units or "mV", first if len(numbers) > 2 else zero, rest)  # fmt: skip


def is_matrix(header: Header) -> bool:
    """Whether the signal of a header is one MATLAB file."""
    files = {lead.file for lead in header.leads}
    return len(files) == 1 and files.pop().lower().endswith(".mat")


def lead_index(leads: list[Lead], wanted: int | None, name: str) -> int:
    """Index of the lead that is read: the wanted one, or else the first that is an electrocardiogram by name and unit.

    Raises:
      RecordingError: there is no such lead, or none is an electrocardiogram.
    """
    if wanted is not None:
        if not 0 <= wanted < len(leads):
            raise RecordingError(f"{name}: there is no lead {wanted}; it has {len(leads)}, from 0")
        return wanted
    volts = [i for i, lead in enumerate(leads) if _unit(lead) in _MILLIVOLTS]
    for pattern in _LEADS:
        if named := [i for i in volts if pattern.match(leads[i].name.strip())]:
            return named[0]
    if usable := [i for i in volts if not _OTHER.search(leads[i].name)]:
        return usable[0]
    if not volts:
        millivolts_in(leads[0], name)
    names = ", ".join(repr(leads[i].name) for i in volts)
    raise RecordingError(
        f"{name}: no lead is named like one of an electrocardiogram ({names}); choose one by its index"
    )


def millivolts_in(lead: Lead, name: str) -> float:
    """Millivolts in a lead's unit."""
    if _unit(lead) not in _MILLIVOLTS:
        raise RecordingError(f"{name}: the lead {lead.name or '0'!r} is in {lead.units}, which is no voltage")
    return _MILLIVOLTS[_unit(lead)]


def _unit(lead: Lead) -> str:
    """The unit in small letters, with one of the two micro signs: NFKC makes U+03BC of U+00B5."""
    return unicodedata.normalize("NFKC", lead.units).lower()


def parts_of(headers: Mapping[str, bytes]) -> tuple[set[str], set[str]]:
    """What belongs to other headers of a folder, so that it is no recording by itself; damaged headers say nothing.

    Args:
      headers: content by path.

    Returns:
      Paths of the headers of segments; paths of signals that a header names.
    """
    segments, signals = set(), set()
    for path, content in headers.items():
        try:
            header = read_header(content, path)
        except RecordingError:
            continue
        folder = os.path.dirname(path)
        segments |= {os.path.join(folder, f"{part}.hea") for part, _ in header.segments if part != GAP}
        signals |= {os.path.join(folder, lead.file) for lead in header.leads}
    return segments, signals
