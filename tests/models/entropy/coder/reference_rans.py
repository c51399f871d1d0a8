"""The coder's stream read by plain Python, a lane and a bit at a time: a second description of the format."""

import numpy as np

from models.entropy.densities.tables import CdfTables


def decode(stream: bytes, indexes: np.ndarray, tables: CdfTables) -> list[int]:
    """Symbols of a stream of ``RansCoder.encode``; indexes int [N]."""
    reader = _Reader(stream)
    lanes, escape_count = reader.varint(), reader.varint()
    plan = [lanes]
    while plan[-1] > 1:
        plan.append((plan[-1] + 1) // 2)
    counts = [2 * count * reader.varint() for count in plan[1:]]
    states = reader.states(lanes)
    escapes = reader.escapes(escape_count)[::-1]
    words = [int.from_bytes(reader.rest()[place : place + 4], "little") for place in range(0, len(reader.rest()), 4)]
    symbols, todo = [], list(map(int, indexes))
    for lanes, count in zip(plan, [len(todo) - sum(counts), *counts], strict=True):
        payload = [state - (1 << 32) for state in states[lanes:]]
        assert all(0 <= word < 1 << 32 for word in payload)
        states, words = states[:lanes], payload + words
        part, todo = todo[:count], todo[count:]
        for begin in range(0, count, 2 * lanes):
            pair = part[begin : begin + 2 * lanes]
            for place, table in enumerate(pair):
                symbol, states[place % lanes] = _symbol(states[place % lanes], table, tables, escapes)
                symbols.append(symbol)
            for lane in range(lanes):
                if states[lane] < 1 << 31:
                    states[lane] = states[lane] << 32 | words.pop(0)
    assert states == [1 << 32] and not words and not escapes
    return symbols


def _symbol(state: int, table: int, tables: CdfTables, escapes: list[int]) -> tuple[int, int]:
    number = state % (1 << tables.precision)
    cdf, size = tables.cdfs[table], int(tables.sizes[table])
    slot = int(np.searchsorted(cdf[: size + 1], number, "right")) - 1
    start, end = int(cdf[slot]), int(cdf[slot + 1])
    state = (end - start) * (state >> tables.precision) + number - start
    if slot == size - 1:
        value = escapes.pop()
        slot = -(value // 2) - 1 if value % 2 else slot + value // 2
    return slot + int(tables.offsets[table]), state


class _Reader:
    def __init__(self, data: bytes):
        self._data = data

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte, self._data = self._data[0], self._data[1:]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def escapes(self, count: int) -> list[int]:
        nibbles = [half for byte in self._data for half in (byte % 16, byte // 16)]
        values, used = [], 0
        for _ in range(count):
            value = shift = 0
            while True:
                value |= (nibbles[used] & 7) << shift
                shift, used = shift + 3, used + 1
                if nibbles[used - 1] < 8:
                    break
            values.append(value)
        self._data = self._data[(used + 1) // 2 :]
        return values

    def states(self, lanes: int) -> list[int]:
        bits = int.from_bytes(self._data, "little")

        def take(count: int) -> int:
            nonlocal bits, used
            value = bits & ((1 << count) - 1)
            bits >>= count
            used += count
            return value

        used = 0
        lengths = [take(5) for _ in range(lanes)]
        lows = [take(31) for _ in range(lanes)]
        states = [low | (1 << length | take(length)) << 31 for low, length in zip(lows, lengths, strict=True)]
        self._data = self._data[(used + 7) // 8 :]
        return states

    def rest(self) -> bytes:
        return self._data
