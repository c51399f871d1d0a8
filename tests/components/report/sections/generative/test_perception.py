"""What the report shows of a generative codec, measured with a real codec's files beside the classic ones'."""

import json

import numpy as np
import pytest
import tensorflow as tf

from components.evaluation import classic
from components.evaluation.perception import Judge
from components.report import section
from components.report.sections.generative import perception
from components.serving.served_codec import record_of
from tests.components import tiny_codec


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A file of three photographs of 96 pixels."""
    path = str(tmp_path_factory.mktemp("records") / "test.gz")
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for picture in tiny_codec.photographs().values():
            writer.write(record_of(picture))
    return path


@pytest.fixture(scope="module")
def run_of(tmp_path_factory, records):
    model = str(tiny_codec.save(tmp_path_factory.mktemp("model") / "1", 7))

    def made(recipe: str) -> section.Run:
        return section.Run(recipe, {}, model, "", [records], 8, "", section.Notes())

    return made


@pytest.fixture(scope="module")
def measured(run_of):
    """As JSON gives it back. The codec passes for the released one, which then is not shown beside itself."""
    run = run_of(perception.RELEASED)
    found = json.loads(json.dumps(perception.SECTION.measure(run), allow_nan=False))
    assert not run.notes
    return found


def test_every_codec_is_judged_at_the_models_bytes_or_says_that_it_needs_more(measured):
    pictures = list(tiny_codec.photographs().values())
    own = measured["equal"]["this model"]
    for name in ("JPEG", "WebP"):
        assert measured["equal"][name]["bpp"] <= own["bpp"] and measured["over"][name] == 0
        bpp = [point["bpp"] for point in measured["curves"][name]]
        assert bpp == sorted(bpp) and len(bpp) == 6
    quality = perception._SETTINGS["JPEG"][0]
    files = [classic.JPEG.encode(p, quality) for p in pictures]
    lowest = measured["curves"]["JPEG"][0]
    judged = Judge(pictures)([classic.decode(f) for f in files], [len(f) for f in files])
    assert lowest["fd"] == pytest.approx(judged.fd) and lowest["bpp"] == pytest.approx(judged.bpp)
    assert own["fd"] > 1 and measured["curves"]["JPEG"][-1]["fd"] < lowest["fd"]


def test_fewer_bytes_than_the_lowest_quality_are_told(run_of):
    picture = next(iter(tiny_codec.photographs().values()))
    judge = Judge([picture])
    jpeg = next(p for p in perception._peers(run_of(perception.RELEASED)) if p.name == "JPEG")
    _, (decoded, used), over = perception._compared(jpeg, [picture], [100], judge)
    assert over == 1 and used == [len(classic.JPEG.encode(picture, 1))] and decoded[0].shape == picture.shape


def test_the_released_codec_is_left_out_with_a_note_where_it_cannot_be_prepared(run_of, monkeypatch):
    monkeypatch.setenv("KOMPAKT_CACHE", "/dev/null/cache")
    run = run_of("tiny")
    assert [p.name for p in perception._peers(run)] == ["JPEG", "WebP"]
    assert any("No edic on this page" in note for note in run.notes)


def test_the_page_has_the_plot_the_pictures_and_the_warning(measured):
    html = perception.SECTION.render(measured, {"recipe": "tiny", "summary": "a codec"})
    assert html.count("must not be used as evidence") == 2 and "Model card" in html and "a codec" in html
    assert "<svg" in html and html.count("<figure>") == 1 + 3 * 4 and "At equal size of file" in html
    assert perception.SECTION.lines(measured) == [perception.WARNING]
    assert dict(perception.SECTION.rows(measured)).keys() == {
        f"FD, {name}, {point['bpp']:.4f} bpp" for name, point in measured["equal"].items()
    }


def test_a_page_without_a_picture_or_a_distance_says_so(measured):
    html = perception.SECTION.render(None, {"recipe": "tiny"})
    assert "No picture was coded" in html and "must not be used as evidence" in html
    assert perception.SECTION.rows(None) == []
    few = json.loads(json.dumps(measured))
    few["equal"]["this model"]["fd"] = None
    html = perception.SECTION.render(few, {"recipe": "tiny"})
    assert "too few pictures for one here" in html and "<svg" not in html


def test_pictures_of_other_sides_are_refused():
    picture = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match="was decoded to"):
        Judge([picture])([picture[:8]], [10])
