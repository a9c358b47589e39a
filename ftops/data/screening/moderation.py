"""Texts are sent to a judge in bounded batches, each of them once, and what he says is kept."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from ftops.files import append_lines, make_private_dir, storage_error
from ftops.locks import hold_lock

# The categories in which each of the texts is harmful; empty for one that is not.
ModerationFunction: TypeAlias = Callable[[Sequence[str]], list[tuple[str, ...]]]

MOST_TEXTS = 32
# UTF-8; about 4,000 tokens of English, where the smallest accounts have 10,000 a minute
MOST_BYTES = 16_384


FILENAME = "moderation.jsonl"
MAX_BYTES = 50_000_000  # about 900,000 texts
_DIGEST_BYTES = 16


_FRESH = 1 << 16  # kept in a dict until they are this many


class HashIndex:
    """Keeps the last number that was put there for each key."""

    def __init__(self, fresh: int = _FRESH) -> None:
        self._most_fresh = fresh
        self._fresh: dict[int, int] = {}
        self._keys: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._numbers: NDArray[np.uint32] = np.empty(0, np.uint32)

    def put(self, key: int, number: int) -> None:
        """Keep a number from 0 to 4,294,967,295."""
        self._fresh[key] = number
        if len(self._fresh) >= self._most_fresh:
            self._settle()

    def find(self, key: int) -> int | None:
        """The number of that key, None when there is none."""
        if key in self._fresh:
            return self._fresh[key]
        wanted = np.uint64(key)
        place = int(np.searchsorted(self._keys, wanted))
        if place < len(self._keys) and self._keys[place] == wanted:
            return int(self._numbers[place])
        return None

    def _settle(self) -> None:
        """Sort what is fresh in; of two numbers of one key the later one stays."""
        count = len(self._fresh)
        keys = np.concatenate([np.fromiter(self._fresh.keys(), np.uint64, count), self._keys])
        numbers = np.concatenate(
            [np.fromiter(self._fresh.values(), np.uint32, count), self._numbers]
        )
        self._keys, first = np.unique(keys, return_index=True)
        self._numbers = numbers[first]
        self._fresh.clear()


class ModerationCache:
    """The verdicts of one judge, who is known by his name: another one may judge otherwise."""

    def __init__(self, folder: Path, judge: str, max_bytes: int = MAX_BYTES) -> None:
        self._path = folder / FILENAME
        self._old_path = self._path.with_suffix(".old.jsonl")
        self._max_bytes = max_bytes
        # UTF-8 has no byte 0xFF: no name and text read like another name and text
        self._seed = blake2b(judge.encode() + b"\xff", digest_size=_DIGEST_BYTES)
        self._known = HashIndex()  # which of the verdicts each text has
        self._verdicts: list[tuple[str, ...]] = []  # each that was ever given, once
        self._numbers: dict[tuple[str, ...], int] = {}
        for path in (self._old_path, self._path):
            for digest, categories in _read(path):
                self._keep(digest, categories)

    def find(self, text: str) -> tuple[str, ...] | None:
        """The categories of a text, None when it was not judged."""
        number = self._known.find(_key(self._digest(text)))
        return None if number is None else self._verdicts[number]

    def add(self, texts: Sequence[str], verdicts: Sequence[tuple[str, ...]]) -> None:
        """Keep what was said of these texts; StorageError when the disk refuses."""
        lines = []
        for text, categories in zip(texts, verdicts, strict=True):
            digest = self._digest(text)
            self._keep(digest, categories)
            lines.append(orjson.dumps({"text": digest.hex(), "flagged": categories}) + b"\n")
        self._append(b"".join(lines))

    def _keep(self, digest: bytes, categories: tuple[str, ...]) -> None:
        number = self._numbers.setdefault(categories, len(self._verdicts))
        if number == len(self._verdicts):
            self._verdicts.append(categories)
        self._known.put(_key(digest), number)

    def _digest(self, text: str) -> bytes:
        digest = self._seed.copy()
        digest.update(text.encode())
        return digest.digest()

    def _append(self, content: bytes) -> None:
        make_private_dir(self._path.parent)
        try:
            size = append_lines(self._path, content)
        except OSError as error:
            raise storage_error(error, self._path) from error
        if size > self._max_bytes:
            self._make_old()

    def _make_old(self) -> None:
        with hold_lock(self._path.with_suffix(".lock")) as is_mine:
            try:
                if is_mine and self._path.stat().st_size > self._max_bytes:
                    self._path.replace(self._old_path)
            except FileNotFoundError:
                return  # another process was quicker
            except OSError as error:
                raise storage_error(error, self._path) from error


class Moderator:
    """Asks the judge only about texts whose verdicts are not known."""

    def __init__(
        self, judge: ModerationFunction, verdicts: ModerationCache, on_sent: Callable[[int], None]
    ) -> None:
        self._judge = judge
        self._verdicts = verdicts
        self._on_sent = on_sent
        self.sent = 0  # texts

    def judge(self, rows: Iterable[Sequence[str]]) -> list[frozenset[str]]:
        """What is harmful in each row, by all of its texts.

        Verdicts are kept after each request, so that an error, or a death, loses at most one.
        """
        pieces = [[piece for text in row for piece in cut_text(text)] for row in rows]
        distinct = dict.fromkeys(piece for row in pieces for piece in row)
        unknown = [piece for piece in distinct if self._verdicts.find(piece) is None]
        for batch in cut_batches(unknown):
            self._verdicts.add(batch, self._judge(batch))
            self.sent += len(batch)
            self._on_sent(self.sent)
        return [
            frozenset(name for piece in row for name in self._verdicts.find(piece) or ())
            for row in pieces
        ]


def cut_text(text: str) -> list[str]:
    """The text, in pieces when it is longer than a request; nothing of a blank one.

    Half a surrogate pair, which no request can carry, becomes a question mark.
    """
    if not text.strip():
        return []
    encoded = text.encode("utf-8", "replace")
    pieces = []
    while len(encoded) > MOST_BYTES:
        end = MOST_BYTES
        while encoded[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        pieces.append(encoded[:end].decode())
        encoded = encoded[end:]
    return [*pieces, encoded.decode()]


def cut_batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in their order, at most MOST_TEXTS and MOST_BYTES at a time."""
    batch: list[str] = []
    size = 0
    for text in texts:
        length = len(text.encode())
        if batch and (len(batch) == MOST_TEXTS or size + length > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += length
    if batch:
        yield batch


def _key(digest: bytes) -> int:
    return int.from_bytes(digest[:8])


def _read(path: Path) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """The whole lines of a file that may not be there."""
    try:
        with path.open("rb") as stream:
            for line in stream:
                try:
                    fields = orjson.loads(line)
                    digest = bytes.fromhex(fields["text"])
                    categories = tuple(map(str, fields["flagged"]))
                except (ValueError, KeyError, TypeError):
                    continue
                yield digest, categories
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error, path) from error
