"""Records of faces: numbers and pairs come back, and a plain picture has neither."""

import tensorflow as tf

from models.records import faces as face_records
from models.records import pictures as picture_records
from tests.models.examples import face_record, photograph, picture_record


def test_pairs_of_different_numbers_come_back_padded():
    records = [face_record(photograph(8, 8), 5, 2, [(7, 1, 0), (9, 0, 3)]), face_record(photograph(8, 8), 7, 2),
               picture_record(photograph(8, 8))]  # fmt: skip
    found = face_records.parse(tf.constant(records))
    assert found["number"].numpy().tolist() == [[5], [7], [-1]]
    assert found["pairs"].shape == (3, 3, 3)
    assert found["pairs"][0].numpy().tolist() == [[7, 1, 0], [9, 0, 3], [-1, -1, -1]]
    assert (found["pairs"][1:].numpy() == -1).all()
    alone = face_records.parse(tf.constant(records[1:2]))
    assert alone["pairs"].numpy().tolist() == [[[-1, -1, -1]]]
    assert picture_records.parse(tf.constant(records))[picture_records.LABEL].numpy().tolist() == [2, 2, -1]
