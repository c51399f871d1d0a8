"""TFDS data set of a folder (or archive) of WFDB records, of any format, rate and length, labels from a labels.csv.

    config = RecordingsConfig(name="mine", folder="/data/records")
    tfds.builder("wfdb_folder", config=config, data_dir=...)

`labels.csv` has the columns record (a name, or a path without extension), label and, if wanted, split; without it
nothing has a label. Without a config, the folder is TFDS's `manual_dir`.
"""

from components.kinds.recordings.beam import RecordingsBuilder


class Builder(RecordingsBuilder):
    """Recordings of the user's own; the first lead named like ECG, I or II of each."""

    DESCRIPTION = "A folder of electrocardiograms in PhysioNet's WFDB formats."
