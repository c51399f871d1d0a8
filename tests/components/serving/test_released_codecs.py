"""A stream says which of the released codecs reads it; only that one is made and loaded."""

import pytest

from components.serving.codec_family import RateChoice
from components.serving.released_codecs import ReleasedCodecs, ReleasedRates
from components.serving.served_codec import ServedCodec, ServedCodecError
from models.publishing import released
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


def test_qualities_go_through_all_codecs_and_make_only_what_is_used(tmp_path, monkeypatch):
    configs = {"low": {"lmbda": 0.02, "rates": 5}, "high": {"lmbda": 0.64, "rates": 7}}
    folders = {
        name: tiny_codec.save(tmp_path / name, bits, config=configs[name]) for name, bits in (("low", 4), ("high", 2))
    }
    monkeypatch.setattr(released, "path_of", lambda name: name)
    monkeypatch.setattr(released, "describe", lambda name: {"recipe": name, "config": configs[name]})
    asked = []

    def folder_of(name):
        asked.append(name)
        return folders[name]

    rates = ReleasedRates({"low": 0, "high": 20}, folder_of)
    picture = png(photograph(16, 16))
    assert not asked and rates.description == {"recipe": "low and high"}
    found = rates.compress(picture, RateChoice(quality=100))
    assert rates.decompress(found.stream) and set(asked) == {"high"} and found.lmbda == 0.64
    low = rates.compress(picture, RateChoice(quality=0))
    assert low.stream.startswith(tiny_codec.header(4)) and low.lmbda == 0.02 / 16 and rates.decompress(low.stream)
    assert [(p.model, p.quality) for p in rates.points] == [
        *(("low", q) for q in range(101)), *(("high", q) for q in range(20, 101))
    ]  # fmt: skip
    assert rates.lmbda(100) == 0.02 and rates.lmbda(101) == pytest.approx(0.64 / 2 ** (6 * 0.8))
    assert low.setting == "quality 0.0" and found.setting == "quality 100.0"
    said = float(rates.setting(120).removeprefix("quality "))
    assert rates.compress(picture, RateChoice(quality=said)).stream == rates.compress_at(120, picture)


@pytest.mark.parametrize(("bits", "kept"), [(2, "high"), (6, "low")])
def test_no_picture_gets_worse_where_the_next_codec_goes_on(tmp_path, monkeypatch, bits, kept):
    """At the first qualities it is compared with the end of the codec before; farther on that is sure."""
    config = {"lmbda": 0.02, "rates": 5}
    dropped = {"low": 4, "high": bits}
    folders = {name: tiny_codec.save(tmp_path / name, n, config=config) for name, n in dropped.items()}
    monkeypatch.setattr(released, "path_of", lambda name: name)
    monkeypatch.setattr(released, "describe", lambda name: {"config": config})
    rates = ReleasedRates({"low": 0, "high": 6}, folders.__getitem__)
    picture, first = png(photograph(16, 16)), 101
    assert rates.points[first].model == "high" and rates.points[first].quality == 6
    assert rates.compress_at(first, picture).startswith(tiny_codec.header(dropped[kept]))
    assert rates.compress_at(first + 30, picture).startswith(tiny_codec.header(bits))
