"""Claims and benchmarks are run by hand, and by no test: what they import must still be there."""

import importlib
import importlib.metadata
import os
import pkgutil

import pytest

from tests import benchmarks, claims

# A benchmark's peers run in environments of their own.
MODULES = [
    f"{package.__name__}.{module.name}"
    for package in (claims, benchmarks)
    for module in pkgutil.iter_modules(package.__path__)
    if not module.name.startswith(("peer_", "test_"))
]


@pytest.mark.parametrize("name", MODULES)
def test_what_is_run_by_hand_can_be_imported(name, monkeypatch):
    # Some choose their libraries' settings before they import these, which no other test must inherit.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        stack = importlib.metadata.version("tfx")
        if error.name != "tensorflow_compression_ops" or stack != "1.21.0":
            raise
        pytest.skip("the stack of TFX 1.21 has none: its last release is for TensorFlow 2.17")
