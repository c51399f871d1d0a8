"""Set before TensorFlow is first imported: quiet logs, plots that need no screen, and rare garbage collections."""

import gc
import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# Graphs are millions of small objects that stay; looking through them again and again takes a good part of the time.
gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="module", autouse=True)
def _kept_out_of_collections():
    """What a file of tests leaves behind is not looked through again: a full collection took up to 40 seconds."""
    yield
    gc.freeze()
