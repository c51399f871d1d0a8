"""How this process asks the system for memory, where it is to hold little of it: in the command line's coding."""

import contextlib
import ctypes

_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # of glibc's malloc.h


def be_frugal() -> None:
    """One heap for all threads, and blocks of a megabyte and more given back once they are free.

    glibc keeps a heap for each thread, and raises by itself the size from which blocks are given back. Elsewhere
    nothing happens.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_M_ARENA_MAX, 1)
        allocator.mallopt(_M_MMAP_THRESHOLD, 1 << 20)


def give_back() -> None:
    """Returns what is free on the heap to the system, where glibc is; a loaded model leaves some of its making."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
