"""`python -m pipeline`: quiet libraries first, since TensorFlow reads its log level when it is imported."""

import os
import sys
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
warnings.filterwarnings("ignore", category=FutureWarning)
warnings.filterwarnings("ignore", category=DeprecationWarning)
# Models are built by their first call; Keras would have each of them say so in a `build` of its own.
warnings.filterwarnings("ignore", message=r"`build\(\)` was called on layer", category=UserWarning)

from pipeline.cli import main  # noqa: E402

sys.exit(main())
