"""A pushed video codec: groups there and back, with a quality, what it refuses; the check of a push takes it."""

import numpy as np
import pytest

from components.native_model import signatures_at
from components.serving import check
from components.serving.served_codec import ServedCodec, ServedCodecError
from components.serving.served_model import ServedModelError
from components.video.served_video import ServedVideo, VideoFamily, codes_frames
from tests.components import tiny_codec, tiny_video
from tests.components.clips_on_disk import small
from tests.models.examples import clip_record, write_records


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    return tiny_video.save(tmp_path_factory.mktemp("model") / "1", reads=["00000003"])


def test_there_and_back(folder):
    codec, frames = ServedVideo(folder.parent), small(4, 21, 33)
    ranks = {name: [found.rank for found in s.inputs.values()] for name, s in signatures_at(folder).items()}
    assert ranks["compress"] == [4] and ranks["compress_at"] == [4, 1] and ranks["serving_default"] == [1]
    assert codec.group == tiny_video.GROUP and codec.is_variable and codec.reads == {7, 3}
    assert np.array_equal(codec.decompress(codec.compress(frames)), frames & 0xF0)
    assert np.array_equal(codec.decompress(codec.compress(frames[:1], 100)), frames[:1])
    assert codec.flow(frames).shape == (3, 21, 33, 2)
    assert set(codec.numbers(clip_record(frames))) == {"bpp", "psnr_db", "intra_bpp", "motion_bpp"}


def test_what_is_refused_is_one_line(folder, tmp_path):
    codec = ServedVideo(folder)
    with pytest.raises(ServedModelError, match="too many frames"):
        codec.compress(small(5))
    with pytest.raises(ServedModelError, match="not a stream of this codec"):
        codec.decompress(b"something else")
    one_rate = ServedVideo(tiny_video.save(tmp_path / "one", variable=False))
    with pytest.raises(ServedModelError, match="a model of one rate, which takes no quality"):
        one_rate.compress(small(2), 50)
    pictures = tiny_codec.save(tmp_path / "pictures")
    assert codes_frames(folder) and not codes_frames(pictures)
    with pytest.raises(ServedModelError, match="not a video codec"):
        ServedVideo(pictures)
    with pytest.raises(ServedCodecError, match="codes clips; give clips or folders of frames"):
        ServedCodec(folder)


def test_a_file_names_the_model_that_reads_it(folder, tmp_path):
    family = VideoFamily([folder, tiny_video.save(tmp_path / "other", mark=9)])
    assert [family.reader_of(number).fingerprint for number in (7, 3, 9)] == [7, 7, 9]
    with pytest.raises(
        ServedModelError, match=r"of model 00000001, none of those given \(00000003, 00000007, 00000009"
    ):
        family.reader_of(1)


def test_the_check_before_a_push_takes_inputs_without_a_batch(folder, tmp_path):
    inputs = check.inputs_of(
        [write_records(tmp_path / "a.gz", [clip_record(small(6, 40, 48), f"{n}") for n in (0, 1)])]
    )
    assert inputs["frames"].shape == (3, 40, 48, 3)
    requests = check.probe(str(folder), inputs, tmp_path)
    by_name = {request.model_spec.signature_name: request for request in requests}
    assert set(by_name) == {"compress", "compress_at", "decompress", "flow", "serving_default"}
    assert [d.size for d in by_name["compress"].inputs["frames"].tensor_shape.dim] == [3, 40, 48, 3]
