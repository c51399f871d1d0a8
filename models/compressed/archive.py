"""A compressed classifier as one small file: indices of its kernels' values, a codebook, and what else makes it.

    "KMW" version | CRC-32 of all behind it | lengths of the sections | about, codebook, tables, indices, rest

about     recipe, options, fingerprint, shape of the tables: JSON, deflated
codebook  the L values that kernels have, float32
tables    integer frequencies that sum to 2^14, of all kernels or of each: uint16, deflated
indices   a value of the codebook for each number of each kernel, by the rANS coder
rest      biases and normalisation, float16 or float32, one weight after the other

Whatever steers the decoder is an integer, so that every machine reads the same weights.
"""

import dataclasses
import json
import os
import pathlib
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.compressed.coded import ArchiveError, Coded, fill, kernels_of, rest_of
from models.contract import registry
from models.contract.recipe import Config, ConfigError, Recipe
from models.entropy.coder.rans import RansCoder
from models.entropy.densities.tables import DEFAULT_PRECISION, CdfTables, tables_from_pmfs
from models.files import replacing

FILE = "network.kmw"
MAGIC, VERSION = b"KMW", 1
PARTS = ("about", "codebook", "tables", "indices", "rest")
_START = struct.Struct("<3sBI")
_LENGTHS = struct.Struct("<5I")
MOST_CENTRES = 4096


def pack(coded: Coded, recipe: Recipe, config: Config, fingerprint: str) -> tuple[bytes, dict[str, int]]:
    """The archive of a classifier, and its bytes by part: those of PARTS and "head".

    Args:
      fingerprint: of the exported model, hexadecimal, which one that is unpacked must have again.
    """
    options = [
        (coded.symbols, np.zeros(len(coded.symbols), np.int32), 1),
        (coded.symbols, np.repeat(np.arange(len(coded.sizes), dtype=np.int32), coded.sizes), len(coded.sizes)),
    ]  # one table, or one for each kernel: what is smaller
    tried = [(*_indices(symbols, owner, count, len(coded.codebook)), count) for symbols, owner, count in options]
    tables, indices, count = min(tried, key=lambda t: len(t[0]) + len(t[1]))
    defaults = {f.name: f.default for f in dataclasses.fields(config)}
    about = {
        "recipe": recipe.name, "fingerprint": fingerprint, "tables": count, "half": int(coded.half),
        "options": {name: v for name, v in dataclasses.asdict(config).items() if v != defaults[name]},
    }  # fmt: skip
    kind = np.float16 if coded.half else np.float32
    sections = {
        "about": zlib.compress(json.dumps(about, separators=(",", ":")).encode(), 9),
        "codebook": coded.codebook.astype("<f4").tobytes(),
        "tables": tables,
        "indices": indices,
        "rest": b"".join(np.asarray(r, kind).astype(np.dtype(kind).newbyteorder("<")).tobytes() for r in coded.rest),
    }
    rest = _LENGTHS.pack(*(len(sections[name]) for name in PARTS)) + b"".join(sections[name] for name in PARTS)
    content = _START.pack(MAGIC, VERSION, zlib.crc32(rest)) + rest
    sizes = {name: len(sections[name]) for name in PARTS}
    return content, sizes | {"head": len(content) - sum(sizes.values())}


def _indices(symbols: np.ndarray, owner: np.ndarray, count: int, centres: int) -> tuple[bytes, bytes]:
    """(tables, indices) of symbols under a table for each owner."""
    histogram = np.zeros((count, centres))
    np.add.at(histogram, (owner, symbols), 1)
    tables = tables_from_pmfs(list(histogram / histogram.sum(1, keepdims=True)), np.zeros(count, np.int32),
                              np.zeros(count))  # fmt: skip
    frequencies = np.diff(tables.cdfs, axis=1).astype("<u2")
    # A graph: op by op its loops take minutes for the weights of a small network.
    stream = tf.function(RansCoder(tables).encode, autograph=False)(symbols.astype(np.int32), owner).numpy()
    return zlib.compress(frequencies.tobytes(), 9), stream


def unpack(content: bytes) -> tuple[Recipe, Config, keras.Model, str]:
    """The classifier of an archive: its recipe, its configuration, the model, and the fingerprint it must have.

    Raises:
      ArchiveError: it is no archive, of another version, or damaged.
    """
    sections = _sections(content)
    try:
        about = json.loads(_inflated(sections["about"], 1 << 20))
        recipe = registry.get(about["recipe"])
        config = recipe.config(**about["options"])
    except (ValueError, KeyError, TypeError, LookupError, ConfigError) as error:
        raise ArchiveError(f"a model of another version of this project, or damaged: {error}") from error
    model = recipe.build(dataclasses.replace(config, precision="float32"))
    kernels, rest = kernels_of(model.network), rest_of(model.network)
    try:
        coded = _coded(sections, about, [int(np.prod(k.shape)) for k in kernels], [tuple(r.shape) for r in rest])
    except ArchiveError:
        raise
    except Exception as error:  # TensorFlow's errors have no base but Exception
        raise ArchiveError("its weights are damaged, or of another version of this project") from error
    fill(model.network, coded)
    return recipe, config, model, str(about["fingerprint"])


def _sections(content: bytes) -> dict[str, bytes]:
    if content[: len(MAGIC)] != MAGIC[: len(content)] or not content:
        raise ArchiveError("not an archive of a compressed network: it does not begin with KMW")
    head = _START.size + _LENGTHS.size
    if len(content) < head:
        raise ArchiveError(f"truncated: it has not even {head} bytes")
    _, version, checksum = _START.unpack_from(content)
    if version != VERSION:
        raise ArchiveError(f"an archive of version {version}, not {VERSION}")
    lengths = _LENGTHS.unpack_from(content, _START.size)
    if len(content) != head + sum(lengths):
        raise ArchiveError(f"truncated or damaged: {len(content):,} bytes, not {head + sum(lengths):,}")
    if zlib.crc32(content[_START.size :]) != checksum:
        raise ArchiveError("damaged: its checksum is another")
    ends = np.cumsum(lengths) + head
    return {name: content[end - size : end] for name, size, end in zip(PARTS, lengths, ends, strict=True)}


def _inflated(data: bytes, most: int) -> bytes:
    """Raises ValueError where there is more than `most` bytes in it, or damage."""
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data, most)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if inflater.unconsumed_tail or not inflater.eof:
        raise ValueError("of another length")
    return found


def _coded(sections: Mapping[str, bytes], about: Mapping[str, Any], sizes: list[int], shapes: list[tuple]) -> Coded:
    codebook = np.frombuffer(sections["codebook"], "<f4").astype(np.float32)
    count = int(about["tables"])
    if count not in (1, len(sizes)) or not 1 <= len(codebook) <= MOST_CENTRES:
        raise ArchiveError("its tables do not fit the network that it describes")
    frequencies = np.frombuffer(_inflated(sections["tables"], count * (MOST_CENTRES + 1) * 2), "<u2")
    cdfs = np.zeros((count, len(codebook) + 2), np.int32)
    cdfs[:, 1:] = np.cumsum(frequencies.reshape(count, len(codebook) + 1), axis=1)
    tables = CdfTables(
        cdfs, np.full(count, len(codebook) + 1, np.int32), np.zeros(count, np.int32), DEFAULT_PRECISION
    )  # fmt: skip
    owner = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes) if count > 1 else np.zeros(sum(sizes), np.int32)
    symbols = tf.function(RansCoder(tables).decode, autograph=False)(sections["indices"], owner).numpy()
    if symbols.min() < 0 or symbols.max() >= len(codebook):
        raise ArchiveError("an index lies outside its codebook")
    values = np.frombuffer(sections["rest"], "<f2" if about["half"] else "<f4").astype(np.float32)
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    if len(values) != (ends[-1] if len(ends) else 0):
        raise ArchiveError("its weights are not those of the network that it describes")
    rest = [v.reshape(shape) for v, shape in zip(np.split(values, ends[:-1]), shapes, strict=True)] if shapes else []
    return Coded(codebook, symbols, sizes, rest, bool(about["half"]))


def write(directory: str | os.PathLike, content: bytes) -> pathlib.Path:
    """Writes an archive as FILE into a folder, complete or not at all."""
    path = pathlib.Path(directory, FILE)
    with replacing(path) as part:
        part.write_bytes(content)
    return path
