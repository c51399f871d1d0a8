"""Decoded clips as files: their colours are those that a reader sees, and what a format does not take is said."""

from fractions import Fraction

import numpy as np
import pytest

from components.kinds.clips.places import open_clip
from models.video.film import MATRICES, RANGES, FilmError, Header
from pipeline.client.clips.outputs import FORMATS


def _colours(height: int = 48, width: int = 64) -> np.ndarray:
    """Two frames, half red and half green, of which no two matrices make the same."""
    frames = np.full((2, height, width, 3), (20, 200, 60), np.uint8)
    frames[:, :, : width // 2] = (220, 30, 40)
    return frames


def _written(path, form, header, frames):
    with FORMATS[form](path, header, 5) as output:
        output.keep(0)
        output.add(frames, 0)
    return path


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("colour_range", RANGES)
@pytest.mark.parametrize("form", ["y4m", "mp4"])
def test_colours_are_those_of_the_frames(tmp_path, form, colour_range, matrix):
    """Whatever the clip came from: a reader has the file alone."""
    for height in (48, 720):
        frames = _colours(height)
        header = Header(1, 1, 64, height, Fraction(25), colour_range, matrix)
        with open_clip(_written(tmp_path / f"clip.{form}", form, header, frames)) as clip:
            assert clip.about.colour_range == colour_range
            difference = np.abs(np.stack(list(clip.frames())).astype(int) - frames)
        # 4:2:0 mixes the colours of the pixels beside the edge.
        assert difference[:, :, :24].max() <= 4 and difference[:, :, 40:].max() <= 4


@pytest.mark.parametrize(("height", "width", "rate"), [(16, 20000, 25), (16, 16, Fraction(1, 10**6))])
def test_what_an_mp4_does_not_take_is_said_and_nothing_is_left(tmp_path, height, width, rate):
    header = Header(1, 1, width, height, Fraction(rate))
    with pytest.raises(FilmError, match=r"cannot be written as MP4 \(.*--format y4m") as caught:
        _written(tmp_path / "clip.mp4", "mp4", header, _colours(height, width))
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    _written(tmp_path / "clip.y4m", "y4m", header, _colours(height, width))
