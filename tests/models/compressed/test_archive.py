"""Archives of compressed networks: there and back, what they take, and damage."""

import json
import zlib

import numpy as np
import pytest

from models.compressed import archive, unpacking
from models.compressed.coded import ArchiveError, fill, rest_of
from models.contract import registry
from models.publishing import export, pushed
from tests.models.compressed.made import built, coded_of
from tests.models.kinds import tiny


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """An archive, what it holds, and the SavedModel that it was made of."""
    recipe, config, model = built("small_cnn", width=4)
    coded = coded_of(model, 6)
    fill(model.network, coded)
    folder = tmp_path_factory.mktemp("archive") / "model"
    export.export(recipe, config, model, str(folder))
    content, sizes = archive.pack(coded, recipe, config, pushed.describe(folder)["fingerprint"])
    return content, sizes, model, folder


CLASSIFIERS = sorted(n for n, r in registry.recipes().items() if r.shape == "classifier")


@pytest.mark.parametrize(
    "name", [n if n == "small_cnn" else pytest.param(n, marks=pytest.mark.slow) for n in CLASSIFIERS]
)
def test_every_classifier_comes_back_number_by_number(name):
    recipe, config, model = built(name, **tiny(registry.get(name)))
    coded = coded_of(model, 9)
    fill(model.network, coded)
    content, sizes = archive.pack(coded, recipe, config, "0123abcd")
    found, options, again, fingerprint = archive.unpack(content)
    assert (found.name, options, fingerprint) == (name, config, "0123abcd")
    kept = [w for w in model.network.weights if "float" in str(w.dtype)]
    other = [w for w in again.network.weights if "float" in str(w.dtype)]
    assert len(kept) == len(other) and all(np.array_equal(a, b) for a, b in zip(kept, other, strict=True))
    assert sum(sizes.values()) == len(content)


def test_it_takes_little_more_than_the_entropy(packed):
    content, sizes, model, _ = packed
    coded = coded_of(model, 6)
    shares = np.bincount(coded.symbols) / len(coded.symbols)
    ideal = -(shares * np.log2(shares)).sum() * len(coded.symbols) / 8
    assert sizes["indices"] < 1.02 * ideal + 16
    assert sizes["codebook"] == 4 * 6 and sizes["rest"] == 2 * sum(r.size for r in coded.rest)
    assert len(content) < 0.2 * 4 * len(coded.symbols)


@pytest.mark.slow
def test_kernels_that_differ_have_tables_of_their_own():
    recipe, config, model = built("small_cnn", width=24)
    coded = coded_of(model, 4)
    alike = coded._replace(symbols=np.zeros_like(coded.symbols))
    own, symbols = np.concatenate([np.full(s, n % 4) for n, s in enumerate(coded.sizes)]), []
    mixed = coded._replace(symbols=own.astype(np.int32))
    for one in (alike, mixed):
        content, sizes = archive.pack(one, recipe, config, "0")
        symbols.append(json.loads(zlib.decompress(content[28 : 28 + sizes["about"]]))["tables"])
        assert np.array_equal(
            archive.unpack(content)[2].network.get_weights()[0].ravel()[:9], one.codebook[one.symbols[:9]]
        )
    assert symbols == [1, len(coded.sizes)]


def test_wide_floats_stay_what_they_are():
    recipe, config, model = built("small_cnn", width=4)
    coded = coded_of(model, 5, half=False)
    found = archive.unpack(archive.pack(coded, recipe, config, "0")[0])[2]
    assert all(np.array_equal(a, b) for a, b in zip(rest_of(found.network), coded.rest, strict=True))


def test_it_unpacks_to_the_very_model(packed, tmp_path):
    content, _, model, folder = packed
    unpacking.write(content, tmp_path / "again")
    assert pushed.describe(tmp_path / "again")["fingerprint"] == pushed.describe(folder)["fingerprint"]
    assert pushed.describe(tmp_path / "again")["config"] == pushed.describe(folder)["config"]


@pytest.mark.slow
def test_a_model_that_comes_out_otherwise_is_refused(packed, tmp_path):
    recipe, config, model = built("small_cnn", width=4)
    content, _ = archive.pack(coded_of(model, 6), recipe, config, "00000000")
    with pytest.raises(ArchiveError, match="not 00000000"):
        unpacking.write(content, tmp_path / "again")
    assert not list(tmp_path.iterdir())


def test_damage_is_one_line(packed):
    content = packed[0]
    for text, damaged in (
        ("does not begin with KMW", b""), ("does not begin with KMW", b"PNG" + content[3:]),
        ("not even 28 bytes", content[:20]), ("version 9", content[:3] + b"\x09" + content[4:]),
        ("truncated or damaged", content[:-1]), ("truncated or damaged", content + b"\0"),
    ):  # fmt: skip
        with pytest.raises(ArchiveError, match=text):
            archive.unpack(damaged)
    rng = np.random.default_rng(1)
    for place in rng.integers(4, len(content), 300):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        with pytest.raises(ArchiveError) as error:
            archive.unpack(bytes(damaged))
        assert "\n" not in str(error.value)


def resealed(content: bytes, place: int, value: int) -> bytes:
    """With another byte, and a checksum that fits."""
    changed = bytearray(content)
    changed[place] = value
    changed[4:8] = zlib.crc32(bytes(changed[8:])).to_bytes(4, "little")
    return bytes(changed)


@pytest.mark.slow
def test_what_lies_under_a_good_checksum_is_refused_or_read(packed):
    content, sizes, *_ = packed
    rng, refused = np.random.default_rng(3), 0
    for _ in range(16):
        place = int(rng.integers(28, len(content)))
        try:
            archive.unpack(resealed(content, place, int(rng.integers(256))))
        except ArchiveError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 2
