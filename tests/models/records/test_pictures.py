"""Records: written and read back, pictures decoded, missing files named."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.records import pictures as picture_records
from tests.models.kinds import photograph, picture_record, png, write_records


def test_round_trip():
    picture = photograph(9, 13)
    encoded = png(picture)
    example = picture_records.image_example(
        encoded, key="kéy", format_name="WEBP", height=9, width=13, channels=3, size_bytes=77
    )
    parsed = picture_records.parse(tf.constant(example.SerializeToString()))
    assert set(parsed) == set(picture_records.FEATURES) and all(t.shape == () for t in parsed.values())
    assert parsed[picture_records.ID].numpy().decode() == "kéy" and parsed[picture_records.FORMAT] == b"webp"
    numbers = [
        int(parsed[n])
        for n in (picture_records.HEIGHT, picture_records.WIDTH, picture_records.CHANNELS, picture_records.BYTES)
    ]
    assert numbers == [9, 13, 3, 77] and parsed[picture_records.SIZE_CLASS] == b"below_0.1_mp"
    assert np.array_equal(picture_records.decode(parsed[picture_records.ENCODED]), picture)


def test_batches_parse_to_batches():
    records = [picture_record(photograph(8, 8 + n), f"{n}") for n in range(3)]
    parsed = picture_records.parse(tf.constant(records))
    assert parsed[picture_records.WIDTH].numpy().tolist() == [8, 9, 10] and parsed[picture_records.ID].shape == (3,)


def test_what_is_no_record_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError):
        picture_records.parse(tf.constant(b"not a record"))


@pytest.mark.parametrize(
    "height, width, expected",
    [(1, 1, "below_0.1_mp"), (250, 400, "below_0.5_mp"), (512, 768, "below_0.5_mp"), (1000, 1000, "below_2_mp"),
     (2000, 1000, "2_mp_and_more")],
)  # fmt: skip
def test_size_classes(height, width, expected):
    assert picture_records.size_class(height, width) == expected


@pytest.mark.parametrize("mode, depth", [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4), ("P", 3)])
def test_every_kind_of_png_decodes(mode, depth):
    image = Image.fromarray(photograph(6, 5)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    rgb = np.array(image.convert("RGB"))
    assert np.array_equal(picture_records.decode(tf.constant(buffer.getvalue())), rgb)
    own = picture_records.decode(tf.constant(buffer.getvalue()), channels=0)
    assert own.shape == (6, 5, depth)


@pytest.mark.parametrize("format_name", ["JPEG", "BMP"])
def test_other_formats_decode_as_pillow_decodes_them(format_name):
    buffer = io.BytesIO()
    options = {"subsampling": 0} if format_name == "JPEG" else {}
    Image.fromarray(photograph(32, 40)).save(buffer, format_name, **options)
    expected = np.array(Image.open(io.BytesIO(buffer.getvalue()))).astype(int)
    assert np.abs(picture_records.decode(tf.constant(buffer.getvalue())).numpy() - expected).max() <= 1


@pytest.mark.parametrize("damaged", [b"", b"nothing", png(photograph(8, 8))[:60]])
def test_damaged_pictures_are_refused(damaged):
    with pytest.raises(tf.errors.InvalidArgumentError):
        picture_records.decode(tf.constant(damaged))


def test_records_come_in_the_order_of_the_files(tmp_path):
    files = [write_records(tmp_path / f"{n}.gz", [f"{n}a".encode(), f"{n}b".encode()]) for n in (2, 1)]
    assert list(picture_records.records(files).as_numpy_iterator()) == [b"1a", b"1b", b"2a", b"2b"]


def test_missing_files_are_named(tmp_path):
    there = write_records(tmp_path / "there.gz", [b"x"])
    with pytest.raises(FileNotFoundError, match="no records at .*gone.gz$"):
        picture_records.records([there, tmp_path / "gone.gz"])
    with pytest.raises(FileNotFoundError, match="an empty list of files"):
        picture_records.records([])


def test_records_are_shuffled_among_no_more_than_memory_may_hold(monkeypatch):
    records = tf.data.Dataset.from_tensor_slices([bytes([n]) * 1000 for n in range(200)])

    def places(most):
        return [int(r[0]) for r in picture_records.shuffled(records, most, seed=3).as_numpy_iterator()]

    whole = places(200)
    assert sorted(whole) == list(range(200)) and whole == places(200) and max(whole[:10]) > 50
    monkeypatch.setattr(picture_records, "KEPT", 5000)
    for most, reach in ((200, 5), (3, 3)):
        assert sorted(places(most)) == list(range(200)) != places(most)
        assert all(place < drawn + reach for drawn, place in enumerate(places(most)))
