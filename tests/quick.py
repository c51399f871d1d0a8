"""What processes of tests set, so that little is computed beside what is tested."""

import contextlib
import ctypes
import gc
import os
import pathlib
import sys


def collect_rarely() -> None:
    """Graphs are millions of small objects that stay, and looking through them often takes a tenth of the time."""
    gc.set_threshold(50_000, 20, 100)


def size() -> int:
    """Bytes of memory that this process holds; 0 where nothing says so."""
    status = pathlib.Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if status.exists() else 0


def share() -> int:
    """Bytes that a process may have without being asked for any back: of four, two thirds of a machine's memory."""
    return max(2 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 6)


def collect_if_large(most: int = 0, more: int = 1 << 28) -> None:
    """Gives the memory of graphs back that no test holds any more. Looking for it takes seconds.

    Args:
      most: bytes that a process may have before; 0: its `share`. more: bytes that it has grown by since the last time.
    """
    global _after
    if size() < max(most or share(), _after + more):
        return
    forget_gradients()
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    _after = size()


_after = 0


def forget_gradients() -> None:
    """A function with a gradient of its own is kept, with the whole graph that it was traced in, for ever.

    TensorFlow registers it under a new name at each tracing, with its tensors. Only a graph that is differentiated
    after this misses it: tests trace, differentiate and are done with their graphs.
    """
    if "tensorflow" not in sys.modules:
        return
    from tensorflow.python.framework import ops

    known = ops.gradient_registry._registry
    for name in [name for name in known if name.startswith("CustomGradient-")]:
        del known[name]


def run_as_traced() -> None:
    """Functions run without the optimiser, which takes longer than what most graphs of tests are run for.

    What is served is asked through TensorFlow's C library, which optimises as servers do but for codecs that are like
    others: see `Trained.served`. The serving check of every run optimises whatever it is.
    """
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
