"""What lies beside the graph of an exported classifier, as its options ask."""

import os
from collections.abc import Sequence

from models.classifiers import int8, ternary_file


def write(model, config, files: Sequence[str], directory: str | os.PathLike) -> None:
    """`beside` of a classifier's recipe: the int8 file and that of ternary matrices, as of their modules."""
    int8.write(model, config, files, directory)
    ternary_file.write(model, config, directory)
