"""`kompakt` and `python -m pipeline`: libraries are made quiet first; TensorFlow reads its log level at its import."""

import os
import sys
import warnings


def main() -> int:
    """Runs the command line of this process; returns the exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    # Models are built by their first call; Keras would have each of them say so in a `build` of its own.
    warnings.filterwarnings("ignore", message=r"`build\(\)` was called on layer", category=UserWarning)
    from pipeline import cli

    return cli.main(name="kompakt" if os.path.basename(sys.argv[0]) == "kompakt" else "python -m pipeline")


if __name__ == "__main__":
    sys.exit(main())
