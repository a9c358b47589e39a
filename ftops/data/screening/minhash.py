"""MinHash sketches: 64 bytes that estimate the similarity of two texts, in any script.

A text is the set of its runs of letters: five in a row, or three in scripts without spaces between
words. The hash of a run selects its bin, and each bin keeps eight bits of its smallest hash (one
permutation MinHash; Li, Owen, Zhang 2012). The share of equal bins estimates the share of runs that
two texts have in common (Jaccard similarity), with a standard error of at most 0.06.
"""

from array import array
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ftops.text import to_nfc

BINS = 64
LEAST_FILLED = 6  # bins; shorter texts are not compared
_RUN, _DENSE_RUN = 5, 3
_DENSE = 0x2E80  # from here on, scripts without spaces
_SEAM = 0x1E
_CHUNK_CHARS = 1 << 16  # fits in the processor cache
_COMMON_BITS = 16
_COMMON_SHARE = 0.25
_LEAST_TEXTS = 20
_COMMON_MASK = np.uint32((1 << _COMMON_BITS) - 1)
_BIN_SHIFT = np.uint32(32 - 6)
_NONE = np.uint32(0xFFFF_FFFF)  # marks no run; larger than the hash of any run
_DROPPED = bytes(byte for byte in range(128) if not chr(byte).isalnum() and byte != _SEAM)
_SMALL = bytes(range(256)).lower()
_KEPT = np.array([byte not in _DROPPED for byte in range(128)])

Codes = NDArray[np.uint32]
Sketches = NDArray[np.uint8]


def read_sketches(sketch_bytes: "array[int]") -> Sketches:
    """A row of 64 bytes for each text."""
    return np.frombuffer(sketch_bytes, np.uint8).reshape(-1, BINS)


def sketch_texts(texts: Sequence[str], common: Sequence[int] = ()) -> Sketches:
    """A row of 64 bytes for each text.

    An empty bin is 0; a text that is too short has only empty bins. The runs in `common` (see
    `list_common_shingles`) do not count, since most texts have them.
    """
    dropped = None
    if common:
        dropped = np.zeros(1 << _COMMON_BITS, np.bool_)
        dropped[np.asarray(common, np.intp)] = True
    sketches = np.zeros((len(texts), BINS), np.uint8)
    plain = [row for row, text in enumerate(texts) if text.isascii()]
    others = [row for row, text in enumerate(texts) if not text.isascii()]
    for rows in (plain, others):  # separately, since ASCII takes a third of the time
        for chunk in _cut(texts, rows):
            sketches[chunk] = _sketch_chunk([texts[row] for row in chunk], dropped)
    return sketches


def list_common_shingles(texts: Sequence[str]) -> tuple[int, ...]:
    """The runs that occur in a quarter of the distinct texts or more: templates, system messages.

    They carry no information about similarity. The result is empty for few texts.
    """
    different = list(dict.fromkeys(texts))
    if len(different) < _LEAST_TEXTS:
        return ()
    holding = np.zeros(1 << _COMMON_BITS, np.int64)
    for text in different:
        hashes, _ = _hash_runs([text])
        holding[np.unique(hashes[hashes != _NONE] & _COMMON_MASK)] += 1
    shared = np.flatnonzero(holding >= len(different) * _COMMON_SHARE)
    return tuple(shared.tolist())


def _cut(texts: Sequence[str], rows: Sequence[int]) -> Iterator[list[int]]:
    chunk: list[int] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += len(texts[row])
        if size >= _CHUNK_CHARS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _sketch_chunk(texts: list[str], dropped: "NDArray[np.bool_] | None") -> Sketches:
    hashes, lengths = _hash_runs(texts)
    if dropped is not None:
        hashes[dropped[hashes & _COMMON_MASK]] = _NONE
    bins = np.repeat(np.arange(0, len(texts) * BINS, BINS), lengths)[: len(hashes)]
    bins += hashes >> _BIN_SHIFT
    smallest = np.full(len(texts) * BINS, _NONE)
    np.minimum.at(smallest, bins, hashes)
    empty = smallest == _NONE
    sketches = (smallest % np.uint32(255) + np.uint32(1)).astype(np.uint8)
    sketches[empty] = 0
    sketches = sketches.reshape(len(texts), BINS)
    sketches[np.count_nonzero(sketches, axis=1) < LEAST_FILLED] = 0
    return sketches


def _hash_runs(texts: list[str]) -> tuple[Codes, NDArray[np.intp]]:
    """The hash of the run that begins at each letter, and the number of letters of each text.

    Runs that reach past the end of their text have the hash `_NONE`.
    """
    codes = _encode_texts(texts)
    seams = np.flatnonzero(codes == _SEAM)
    lengths = np.diff(seams, prepend=-1)
    size = len(codes) - _RUN + 1
    two = codes[:-1] * np.uint32(0x9E3779B1)
    two += codes[1:]
    hashes = two[:size] * np.uint32(0x85EBCA77)
    hashes += two[2 : size + 2]
    hashes *= np.uint32(0xC2B2AE3D)
    hashes += codes[4 : size + 4]
    dense = None
    if codes.max(initial=0) >= _DENSE:
        dense = codes[:size] >= _DENSE
        three = two[:size] * np.uint32(0x27D4EB2F) + codes[2 : size + 2]
        hashes = np.where(dense, three, hashes)
    hashes ^= hashes >> np.uint32(15)
    hashes *= np.uint32(0x2C1B3C6D)
    hashes ^= hashes >> np.uint32(13)
    for before in range(_RUN):
        over = seams[seams >= before] - before
        if dense is not None and before >= _DENSE_RUN:
            over = over[~dense[over]]
        hashes[over] = _NONE
    return hashes, lengths


def _encode_texts(texts: list[str]) -> Codes:
    """Letters and digits of the texts in lower case, with U+001E after each text.

    Four zeros at the end allow a run to begin at every letter.
    """
    joined = "\x1e".join([*texts, ""])
    if joined.count("\x1e") != len(texts):
        joined = "\x1e".join([*(text.replace("\x1e", "") for text in texts), ""])
    if joined.isascii():
        data = joined.encode("ascii").translate(_SMALL, _DROPPED) + bytes(_RUN - 1)
        return np.frombuffer(data, np.uint8).astype(np.uint32)
    data = to_nfc(joined).lower().encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(data, np.uint32)
    kept = np.ones(len(codes), np.bool_)
    ascii_codes = codes < 128
    kept[ascii_codes] = _KEPT[codes[ascii_codes]]
    for first, last in ((0x80, 0xA9), (0x2000, 0x206F), (0x3000, 0x303F), (0xFF00, 0xFF0F)):
        kept &= (codes < first) | (codes > last)  # spaces and punctuation of other scripts
    return np.concatenate([codes[kept], np.zeros(_RUN - 1, np.uint32)])
