"""The file of a coded clip: written in parts, read by group, damaged anywhere."""

import random
from fractions import Fraction

import pytest

from models.video import film
from models.video.film import Film, FilmError, GroupError, Header, Writer

HEADER = Header(0xDEADBEEF, 2**63 + 5, 417, 241, Fraction(30000, 1001), "full", "bt601", 12)
STREAMS = [bytes([65 + n]) * (40 + 7 * n) for n in range(5)]


def _written(path, streams=STREAMS):
    with Writer(path, HEADER) as writer:
        for stream in streams:
            writer.add(stream, 12)
        writer.add(b"the rest", 3)
    return path


def test_round_trip_in_any_order(tmp_path):
    with Film(_written(tmp_path / "clip.kmv")) as found:
        assert found.header == HEADER and found.frames == 63 and found.is_whole
        assert not (found.damage or found.lost or found.broke_off)
        assert [found.read(found.groups[n]) for n in (5, 0, 3)] == [b"the rest", STREAMS[0], STREAMS[3]]
        assert found.group_of(59) is found.groups[4] and str(found.groups[5]) == "frames 60 to 62"
        with pytest.raises(FilmError, match="no frame 63; the clip has 63"):
            found.group_of(63)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.kmv"]


def test_a_flipped_bit_costs_at_most_its_group(tmp_path):
    path = _written(tmp_path / "clip.kmv")
    whole, draw = path.read_bytes(), random.Random(4)
    with Film(path) as found:
        spans = [range(g.offset, g.offset + film._GROUP.size + g.length + 4) for g in found.groups]
    said = 0
    for _ in range(1000):
        place = draw.randrange(len(whole))
        broken = bytearray(whole)
        broken[place] ^= 1 << draw.randrange(8)
        path.write_bytes(broken)
        with Film(path) as found:
            assert found.header == HEADER and len(found.groups) == 6 and not (found.lost or found.is_cut)
            for n, group in enumerate(found.groups):
                if place in spans[n]:
                    said += 1
                    with pytest.raises(GroupError, match=rf"frames {12 * n} to .* are lost"):
                        found.read(group)
                else:
                    assert found.read(group) == [*STREAMS, b"the rest"][n]
            if not any(place in span for span in spans):
                said += 1
                assert found.damage
    assert said == 1000


def test_index_and_a_group_damaged_together(tmp_path):
    path = _written(tmp_path / "clip.kmv")
    broken = bytearray(path.read_bytes())
    with Film(path) as found:
        broken[found.groups[2].offset + 20] ^= 1
    broken[-9] ^= 1
    path.write_bytes(broken)
    with Film(path) as found:
        assert not found.is_whole and found.lost == ["frames 24 to 35"] and not found.is_cut
        assert [group.first for group in found.groups] == [0, 12, 36, 48, 60]


def test_truncated_anywhere_keeps_the_groups_before(tmp_path):
    path = _written(tmp_path / "clip.kmv")
    whole = path.read_bytes()
    with Film(path) as found:
        ends = [g.offset + film._GROUP.size + g.length + 4 for g in found.groups]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length < film._FIXED:
            with pytest.raises(FilmError, match="truncated within its header|does not begin with KMV"):
                Film(path)
            continue
        with Film(path) as found:
            assert len(found.groups) == sum(end <= length for end in ends) and not found.is_whole and found.damage
            assert found.is_cut


def test_goes_on_where_it_was_stopped_and_the_result_is_the_same(tmp_path):
    path = _written(tmp_path / "clip.kmv")
    whole = path.read_bytes()
    path.unlink()
    for cut in (0, 1, 30):  # the last bytes of what was written may be missing as well
        with pytest.raises(KeyboardInterrupt), Writer(path, HEADER) as writer:
            writer.add(STREAMS[0], 12)
            writer.add(STREAMS[1], 12)
            raise KeyboardInterrupt
        part = film.part_of(path)
        part.write_bytes(part.read_bytes()[: -cut or None])
        assert not path.exists()
        with Writer(path, HEADER) as writer:
            assert writer.frames == (12 if cut else 24)
            for n in range(writer.frames // 12, 5):
                writer.add(STREAMS[n], 12)
            writer.add(b"the rest", 3)
        assert path.read_bytes() == whole and not part.exists()
        path.unlink()


def test_a_part_of_something_else_is_begun_anew(tmp_path):
    path = tmp_path / "clip.kmv"
    with pytest.raises(KeyboardInterrupt), Writer(path, HEADER) as writer:
        writer.add(STREAMS[0], 12)
        raise KeyboardInterrupt
    with Writer(path, HEADER._replace(origin=1)) as writer:
        assert writer.frames == 0
        with pytest.raises(FilmError, match="another process writes it"):
            Writer(path, HEADER)
        writer.add(b"x", 1)
    with Film(path) as found:
        assert found.header.origin == 1 and found.frames == 1


def test_nothing_is_left_of_a_clip_without_frames(tmp_path):
    with pytest.raises(FilmError, match="without frames"), Writer(tmp_path / "clip.kmv", HEADER) as writer:
        writer.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", [{"width": 0}, {"height": 70000}, {"rate": Fraction(0)}, {"group": 0},
                                    {"matrix": "rgb"}, {"fingerprint": 2**32}])  # fmt: skip
def test_impossible_headers_are_refused(change):
    with pytest.raises(FilmError):
        HEADER._replace(**change).pack()


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "does not begin"),
        (b"RIFF", "no coded clip"),
        (b"KMV\x01", "truncated within its header"),
        (b"KMV\x01" + bytes(80), "damaged"),
        (b"KMV\x02" + bytes(80), "version"),
    ],
)
def test_what_is_no_film_is_refused(tmp_path, content, message):
    (tmp_path / "a.kmv").write_bytes(content)
    with pytest.raises(FilmError, match=message):
        Film(tmp_path / "a.kmv")
    with pytest.raises(FilmError, match="cannot be opened"):
        Film(tmp_path / "none.kmv")
