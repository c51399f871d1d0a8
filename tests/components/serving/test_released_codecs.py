"""A stream says which of the released codecs reads it; only that one is made and loaded."""

import pytest

from components.serving.released_codecs import ReleasedCodecs
from components.serving.served_codec import ServedCodec, ServedCodecError
from tests.components import tiny_codec
from tests.models.kinds import photograph, png


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two codecs by name."""
    folder = tmp_path_factory.mktemp("released")
    return {name: tiny_codec.save(folder / name, bits) for name, bits in (("edic", 4), ("lossless", 2))}


def test_each_stream_finds_its_codec_and_no_other_is_made(folders):
    asked = []

    def folder_of(name):
        asked.append(name)
        return folders[name]

    codecs = ReleasedCodecs(["edic", "lossless"], folder_of)
    picture = png(photograph(16, 16))
    streams = {name: ServedCodec(folder).compress(picture) for name, folder in folders.items()}
    assert streams["edic"] != streams["lossless"]
    assert codecs.decompress(streams["edic"]) == ServedCodec(folders["edic"]).decompress(streams["edic"])
    assert asked == ["edic"]
    assert codecs.decompress(streams["lossless"]) == ServedCodec(folders["lossless"]).decompress(streams["lossless"])


def test_other_streams_are_refused(folders):
    codecs = ReleasedCodecs(["edic"], folders.__getitem__)
    with pytest.raises(ServedCodecError, match=r"none of the released ones \(edic\); give --model"):
        codecs.decompress(ServedCodec(folders["lossless"]).compress(png(photograph(8, 8))))
    with pytest.raises(ServedCodecError, match="not a Kompakt stream"):
        codecs.decompress(b"no stream at all, but long enough")
