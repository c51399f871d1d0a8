"""Released models in the user's cache."""

import csv
import hashlib
import io
import itertools
import json
import os
import pathlib
import shutil
import tempfile

import matplotlib
import numpy as np
import pytest
from PIL import Image

from components import closure
from components.evaluation import class_scores, classic, rate_distortion
from components.kinds.containers import members
from components.kinds.recordings import recordings
from components.serving import codec_family, released_model
from components.serving.codec_family import RateChoice
from components.serving.released_codecs import ReleasedRates
from components.serving.served_codec import ServedCodec
from components.serving.served_ecg import ServedEcg
from models.contract import registry
from models.entropy.coder import header
from models.publishing import released
from pipeline import cli
from pipeline.client.codecs import CODECS
from tests.components.recordings_on_disk import real_recordings
from tests.models.kinds import photograph, png, tiny

pytestmark = pytest.mark.slow


@pytest.fixture
def pack(tmp_path, monkeypatch):
    """Name of a recipe -> the file of its released model, "tiny"."""
    monkeypatch.setattr(released, "FOLDER", tmp_path)
    monkeypatch.setenv("KOMPAKT_CACHE", str(tmp_path / "cache"))

    def of(name: str) -> pathlib.Path:
        recipe = registry.get(name)
        model = recipe.build(recipe.make_config("small", tiny(recipe)))
        released.pack(recipe, model.config, model, tmp_path / "tiny.npz")
        return tmp_path / "tiny.npz"

    return of


@pytest.fixture
def weights(pack):
    return pack("small_cnn")


def test_is_made_once_and_codes(pack):
    said, weights = [], pack("factorized")
    directory = released_model.directory_of("tiny", said.append)
    assert directory.is_relative_to(weights.parent / "cache" / "tiny") and len(said) == 1
    assert released_model.directory_of("tiny", said.append) == directory and len(said) == 1
    assert [p.name for p in directory.parent.iterdir()] == [directory.name]
    codec = ServedCodec(directory)
    decoded = Image.open(io.BytesIO(codec.decompress(codec.compress(png(photograph(40, 30))))))
    assert decoded.size == (30, 40)


def test_other_weights_are_another_model(weights):
    first = released_model.folder_of("tiny")
    recipe, config, model = released.unpack(weights)
    model.trainable_variables[0].assign(model.trainable_variables[0] + 1)
    released.pack(recipe, config, model, weights)
    assert released_model.folder_of("tiny") != first


def test_a_damaged_file_leaves_nothing(weights):
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(released.ReleaseError):
        released_model.directory_of("tiny")
    assert not list((weights.parent / "cache").rglob("*"))


def test_what_was_not_used_for_long_is_removed_when_another_is_made(weights, monkeypatch):
    made = {name: weights.parent / "cache" / "tiny" / name for name in ("old", "recent", ".part-killed")}
    for path in made.values():
        path.mkdir(parents=True)
    for name in ("old", ".part-killed"):
        os.utime(made[name], (1e9, 1e9))
    directory = released_model.directory_of("tiny")
    os.utime(directory, (1e9, 1e9))
    assert released_model.directory_of("tiny") == directory and directory.stat().st_mtime > 1e9
    assert {path.name for path in directory.parent.iterdir()} == {"recent", directory.name}


def test_the_folder_follows_the_code_that_makes_the_model_and_no_other(weights, tmp_path, monkeypatch):
    for folder in ("models", "components"):
        shutil.copytree(closure.ROOT / folder, tmp_path / "code" / folder, ignore=shutil.ignore_patterns("weights"))
    monkeypatch.setattr(closure, "ROOT", tmp_path / "code")
    folders = [released_model.folder_of("tiny")]
    for edited in ("models/ecg/ecg.py", "models/classifiers/resnet.py", "models/classifiers/small_cnn.py"):
        with open(tmp_path / "code" / edited, "a") as file:
            file.write("\n")
        folders.append(released_model.folder_of("tiny"))
    assert folders[0] == folders[1] == folders[2] != folders[3]


def test_a_cache_that_cannot_be_made_is_named(weights, monkeypatch):
    for cache in (weights, weights / "below", "/proc/none"):
        monkeypatch.setenv("KOMPAKT_CACHE", str(cache))
        with pytest.raises(released.ReleaseError, match=f"the cache {cache} cannot be written .* set KOMPAKT_CACHE to"):
            released_model.directory_of("tiny")


@pytest.fixture(scope="module")
def edic() -> ServedCodec:
    """The released codec, made once for all tests that need the real one."""
    with tempfile.TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOMPAKT_CACHE", cache)
        yield ServedCodec(released_model.directory_of("edic"))


VECTORS = pathlib.Path(__file__).parents[2] / "models" / "vectors"


@pytest.mark.parametrize("name", sorted(path.stem for path in VECTORS.glob("*.kmp")))
def test_streams_of_earlier_releases_are_read(edic, name, monkeypatch):
    """Test vectors: streams, and what the code that wrote them made of them.

    Latents are the writer's, or the stream would be refused. Pixels come from floats, which another machine may round
    to the neighbouring level; alpha is kept as it was.
    """
    stream = (VECTORS / f"{name}.kmp").read_bytes()
    expected = np.asarray(Image.open(VECTORS / f"{name}.png"))
    told = json.loads((VECTORS / "vectors.json").read_text())[name]
    assert hashlib.sha256(expected.tobytes()).hexdigest() == told["sha256"] and list(expected.shape) == told["shape"]
    monkeypatch.setattr(codec_family, "ServedCodec", lambda directory: edic)
    decoded = np.asarray(Image.open(io.BytesIO(codec_family.CodecFamily([edic.directory]).decompress(stream))))
    assert decoded.shape == expected.shape
    if hashlib.sha256(decoded.tobytes()).hexdigest() != told["sha256"]:
        assert np.abs(decoded.astype(int) - expected).max() <= 1
        assert decoded.ndim == 2 or np.array_equal(decoded[..., 3:], expected[..., 3:])
    known = edic.description["fingerprint"], *edic.description["reads"]
    assert header.describe(stream)["model_fingerprint"] in known


def test_the_released_model_writes_streams_of_its_own(edic):
    described = header.describe(edic.compress(png(photograph(40, 30)), 50))
    assert described["model_fingerprint"] == edic.description["fingerprint"] not in edic.description["reads"]


def test_graphics_are_kept_without_loss(edic, tmp_path, monkeypatch, capsys):
    """Icons, from the command line."""
    monkeypatch.setattr(released_model, "directory_of", lambda name, announce: edic.directory)
    monkeypatch.setattr("components.serving.released_codecs.ServedCodec", lambda directory: edic)
    icons = pathlib.Path(matplotlib.get_data_path()) / "images"
    names = ["home_large.png", "subplots.png"]
    pictures = [str(icons / name) for name in names]
    assert cli.main(["compress", *pictures, "--quality", "100", "--psnr", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("kept without loss, as a PNG  100.00 dB") == 2
    streams = [tmp_path / f"{pathlib.Path(name).stem}.kmp" for name in names]
    assert cli.main(["decompress", *map(str, streams), "--out", str(tmp_path)]) == 0
    for name, stream in zip(names, streams, strict=True):
        assert stream.stat().st_size < (icons / name).stat().st_size
        assert np.array_equal(
            classic.decode((icons / name).read_bytes()), classic.decode((tmp_path / name).read_bytes())
        )


def test_the_released_model_beats_jpeg(edic):
    """On a photograph that it has not seen, at three rates: fewer bytes than JPEG at the same PSNR."""
    picture = photograph(512, 384)
    for quality in (20, 50, 80):
        point, decoded = edic.measure(picture, quality)
        jpeg = classic.jpeg_of_size(picture, round(point.bpp * picture.shape[0] * picture.shape[1] / 8))
        errors = [np.square(picture.astype(float) - other).mean() for other in (decoded, classic.decode(jpeg))]
        assert errors[0] < errors[1], quality


@pytest.fixture(scope="module")
def released_rates(edic) -> ReleasedRates:
    """All qualities of the released codecs, the second one made once as well."""
    with tempfile.TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOMPAKT_CACHE", cache)
        fine = released_model.directory_of("lapped_hyperprior")
        yield ReleasedRates(CODECS, {"edic": edic.directory, "lapped_hyperprior": fine}.__getitem__)


@pytest.mark.parametrize("size", [(512, 384), (131, 203)])
def test_bytes_and_psnr_rise_over_all_qualities(released_rates, size):
    """Where one codec goes on from another too; the last ones are as good as the picture itself."""
    picture, found = photograph(*size), []
    for quality in (0, 20, 40, 50, 53, 54, 60, 70, 80, 90, 100):
        stream = released_rates.compress(png(picture), RateChoice(quality=quality)).stream
        decoded = classic.decode(released_rates.decompress(stream))
        found.append((len(stream), rate_distortion.psnr_db(picture, decoded)))
    assert sorted(found) == found and (np.diff([psnr for _, psnr in found]) > 0).all()
    assert found[-1][1] > 41


def test_the_second_codec_beats_jpeg(released_rates):
    """On a photograph that it has not seen: fewer bytes than JPEG without chroma subsampling at the same PSNR."""
    picture = photograph(512, 384)
    for quality in (70, 85, 100):
        stream = released_rates.compress(png(picture), RateChoice(quality=quality)).stream
        psnr = rate_distortion.psnr_db(picture, classic.decode(released_rates.decompress(stream)))
        jpegs = []
        for level in range(30, 101):
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "JPEG", quality=level, subsampling="4:4:4", optimize=True)
            jpegs.append(file.getvalue())
        better = [len(jpeg) for jpeg in jpegs if rate_distortion.psnr_db(picture, classic.decode(jpeg)) >= psnr]
        assert better and len(stream) < min(better), quality


def test_a_part_never_costs_more_than_the_whole(edic):
    """Over all residues of both sides modulo 64; the whole is the photograph, or its part continued to 128x128.

    Nor are the part's pixels worse than in the latter by more than a tenth of their squared error.
    """
    photographed = len(edic.compress(png(photograph(128, 128))))
    for n in range(64):
        height, width = 65 + n, 65 + 29 * n % 64
        part = photograph(height, width)
        continued = np.pad(part, [(0, 128 - height), (0, 128 - width), (0, 0)], mode="edge")
        streams = [edic.compress(png(picture)) for picture in (part, continued)]
        decoded = [classic.decode(edic.decompress(stream))[:height, :width] for stream in streams]
        errors = [np.square(part.astype(float) - pixels).mean() for pixels in decoded]
        assert len(streams[0]) <= min(len(streams[1]), photographed), (height, width)
        assert errors[0] <= 1.1 * errors[1], (height, width)


@pytest.mark.skipif(real_recordings() is None, reason="the real recordings are not on this machine")
def test_the_released_model_knows_real_recordings(tmp_path, monkeypatch):
    """On the first hundred recordings that it was not trained on, as they come in the archive."""
    monkeypatch.setenv("KOMPAKT_CACHE", str(tmp_path))
    with open(real_recordings() / "labels.csv", newline="") as file:
        labels = {row["record"]: row["label"] for row in csv.DictReader(file) if row["split"] == "test"}
    files = ((pathlib.Path(m.path), m) for m in members(str(real_recordings() / "recordings.tar.xz")))
    wanted = ((path.stem, m.read()) for path, m in files if path.suffix == ".mat" and path.stem in labels)
    names, signals = zip(
        *((name, recordings.read_bytes(content, name=name).samples) for name, content in itertools.islice(wanted, 100)),
        strict=True,
    )
    model = ServedEcg(released_model.directory_of("ecg_crnn"))
    predicted = model.probabilities(signals).argmax(1)
    expected = np.array([model.names.index(labels[name]) for name in names])
    confusion = class_scores.counted(expected, predicted, len(model.names))
    assert class_scores.challenge_f1(confusion, model.names) > 0.7
    assert released.path_of("ecg_crnn").stat().st_size < 2_000_000
