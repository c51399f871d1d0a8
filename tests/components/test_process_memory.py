"""What the command line asks of the system's allocator."""

import subprocess
import sys

import pytest

# Blocks that are free below others in use; glibc took them from its heap, once it had seen one such block freed.
HOLES = """
import ctypes, pathlib, sys
from components import process_memory
if sys.argv[1:]:
    process_memory.be_frugal()
kept = bytearray(16 << 20)
del kept
before, pairs = None, []
def resident():
    return int(pathlib.Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) >> 10
before = resident()
pairs = [(bytearray(b"x") * (12 << 20), bytearray(200_000)) for _ in range(8)]
held = resident()
pairs = [small for _, small in pairs]
print(held - before, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_what_is_freed_goes_back_to_the_system():
    done = subprocess.run([sys.executable, "-c", HOLES, "frugal"], check=True, capture_output=True, text=True)
    held, left = map(int, done.stdout.split())
    assert held > 90 and left < 20
