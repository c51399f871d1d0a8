"""TFDS data set of the PhysioNet/CinC Challenge 2017 (arXiv:1710.06122 describes a system for it).

    config = RecordingsConfig(name="cinc", folder="/data/training2017.zip")
    tfds.builder("cinc2017", config=config, data_dir=...)

Read are a folder or an archive of `.mat`/`.hea` pairs (or `.mat` alone), the labels from its `REFERENCE*.csv` or a
`labels.csv`, or a folder with such an archive and the labels beside it. Without a config, that is TFDS's `manual_dir`.
"""

from components.kinds.recordings.beam import RecordingsBuilder
from models.records.ecg_units import CLASSES


class Builder(RecordingsBuilder):
    """Single-lead recordings of 9 to 61 s, 300 Hz, in four classes: N, A, O and ~ (noise)."""

    DESCRIPTION = "Electrocardiograms of the PhysioNet/CinC Challenge 2017."
    LABELS = tuple(CLASSES)
