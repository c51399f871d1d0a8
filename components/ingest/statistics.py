"""How StatisticsGen reads the records: the side features alone, never the pictures."""

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2

from models.records import pictures as picture_records
from models.records import recordings as ecg_records

SIDE_FEATURES = (picture_records.FORMAT, picture_records.SIZE_CLASS, *picture_records.INTEGERS)
RECORDING_FEATURES = (ecg_records.FORMAT, ecg_records.LENGTH_CLASS, ecg_records.NOISE_CLASS, *ecg_records.INTEGERS)


def side_feature_options(labelled: bool = False, noun: str = "pictures") -> tfdv.StatsOptions:
    """Options for StatisticsGen that read the side features, with `labelled` also the classes, and nothing else.

    Args:
      noun: what the records are: "pictures" (then SIDE_FEATURES) or "recordings" (then RECORDING_FEATURES).

    The schema keeps the encoded pictures out of the reader. A `feature_allowlist` drops them only after they were read:
    its statistics are the same, but 1.4 GB of pictures then take 1.5 GB of memory, which this saves.
    """
    features, label, integers = {
        "pictures": (SIDE_FEATURES, picture_records.LABEL_NAME, picture_records.INTEGERS),
        "recordings": (RECORDING_FEATURES, ecg_records.LABEL_NAME, ecg_records.INTEGERS),
    }[noun]
    schema = schema_pb2.Schema()
    for name in (*features, *((label,) if labelled else ())):
        schema.feature.add(name=name, type=schema_pb2.INT if name in integers else schema_pb2.BYTES)
    return tfdv.StatsOptions(schema=schema, experimental_filter_read_paths=True)
