"""Codecs of clips measured: real bits and frames, the classic ones better by slower presets, groups of one frame."""

from fractions import Fraction

import numpy as np
import pytest

from components.evaluation import rate_distortion
from components.video import classic_video, measured
from components.video.measured import Run
from components.video.served_video import ServedVideo
from tests.components import tiny_video
from tests.components.clips_on_disk import small


@pytest.fixture(scope="module", name="clips")
def _clips():
    return [Run("a", small(6, 96, 128), Fraction(25)), Run("b", small(3, 97, 127, 100), Fraction(30000, 1001))]


@pytest.mark.parametrize("codec", classic_video.CODECS, ids=lambda codec: codec.name)
def test_classic_codecs_code_and_decode(codec, clips):
    low, high = (measured.classic(codec, clips, 4, setting).point for setting in (39, 19))
    assert low.bpp < high.bpp / 3 and low.psnr_db + 5 < high.psnr_db and high.ms_ssim > 0.97
    stream = codec.encode(clips[0].frames, clips[0].rate, 4, 30)
    frames = codec.decode(stream, 96, 128)
    assert frames.shape == (6, 96, 128, 3)


def test_a_group_begins_with_an_intra_frame(clips):
    sizes = {}
    for group in (1, 4, 12):
        sizes[group] = measured.classic(classic_video.CODECS[0], clips, group, 31).point.bpp
    assert sizes[1] > sizes[4] > sizes[12]


def test_a_learned_codec_is_measured_by_its_streams(clips, tmp_path):
    codec = ServedVideo(tiny_video.save(tmp_path / "m"))
    result = measured.learned(codec, clips, codec.group)
    assert result.counts == [4, 2, 3] and len(result.psnr_db) == len(result.ms_ssim) == 9
    streams = [codec.compress(part) for part in (clips[0].frames[:4], clips[0].frames[4:], clips[1].frames)]
    assert result.bits == [8 * len(stream) for stream in streams]
    assert result.point.bpp == sum(result.bits) / (6 * 96 * 128 + 3 * 97 * 127)
    expected = rate_distortion.psnr_db(clips[1].frames[1], clips[1].frames[1] & 0xF0)
    assert abs(result.psnr_db[7] - expected) < 1e-9
    positions = result.positions()
    assert len(positions) == 4 and positions[3] == result.psnr_db[3]
    assert positions[0] == pytest.approx(np.mean([result.psnr_db[n] for n in (0, 4, 6)]))
    assert measured.learned(codec, clips, 1).counts == [1] * 9
    bits = measured.bits_by_frame(codec, clips[0].frames[:4])
    assert sum(bits) == result.bits[0] and len(bits) == 4
