"""Set before TensorFlow is first imported: quiet logs, plots that need no screen, and rare garbage collections."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# Graphs are millions of small objects that stay, and looking through them again and again takes a tenth of the suite.
gc.set_threshold(50_000, 20, 100)
