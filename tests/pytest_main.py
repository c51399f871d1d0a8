"""What a Bazel test target runs: pytest on the file it is given."""

import pathlib
import sys

import pytest

# Python puts the folder of this file first, where `tests/pipeline` would be found for `pipeline`.
sys.path[:] = [entry for entry in sys.path if pathlib.Path(entry or ".").resolve().name != "tests"]
sys.exit(pytest.main(sys.argv[1:]))
