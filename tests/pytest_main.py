"""What a Bazel test target runs: pytest on the file it is given."""

import sys

import pytest

sys.exit(pytest.main(sys.argv[1:]))
