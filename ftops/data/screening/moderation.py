"""Moderation of texts: sends each text once, in bounded batches, and caches its categories.

The cache file has a line of JSON for each text: its hash and its categories, never the text. Lines
are appended in one write; damaged lines are ignored. A file that is too large is renamed and
replaces the previous old file.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import orjson

from ftops.files import append_lines, make_private_dir, storage_error
from ftops.locks import hold_lock

# The categories that each text is flagged with; empty for a harmless text.
ModerationFunction: TypeAlias = Callable[[Sequence[str]], list[tuple[str, ...]]]

MOST_TEXTS = 32  # per request
MOST_BYTES = 16_384  # of UTF-8 per request: about 4,000 tokens; small accounts have 10,000 a minute
FILENAME = "moderation.jsonl"
MAX_BYTES = 50_000_000  # of the cache file: about 900,000 texts
_DIGEST_BYTES = 16


class ModerationCache:
    """The categories of texts by one moderation model."""

    def __init__(self, folder: Path, judge: str, max_bytes: int = MAX_BYTES) -> None:
        self._path = folder / FILENAME
        self._old_path = self._path.with_suffix(".old.jsonl")
        self._max_bytes = max_bytes
        # UTF-8 has no byte 0xFF, so no two pairs of name and text give the same bytes
        self._seed = blake2b(judge.encode() + b"\xff", digest_size=_DIGEST_BYTES)
        # NumPy is imported only for this check.
        from ftops.data.screening.hash_index import HashIndex

        self._known = HashIndex()  # the index of the categories of each text
        self._verdicts: list[tuple[str, ...]] = []  # distinct categories
        self._numbers: dict[tuple[str, ...], int] = {}
        for path in (self._old_path, self._path):
            for digest, categories in _read(path):
                self._keep(digest, categories)

    def find(self, text: str) -> tuple[str, ...] | None:
        """The categories of a text; None if it is not cached."""
        number = self._known.find(_key(self._digest(text)))
        return None if number is None else self._verdicts[number]

    def add(self, texts: Sequence[str], verdicts: Sequence[tuple[str, ...]]) -> None:
        """Store the categories of texts; StorageError if writing fails."""
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
                return  # another process renamed it first
            except OSError as error:
                raise storage_error(error, self._path) from error


class Moderator:
    """Sends only texts that the cache does not have."""

    def __init__(
        self, judge: ModerationFunction, verdicts: ModerationCache, on_sent: Callable[[int], None]
    ) -> None:
        self._judge = judge
        self._verdicts = verdicts
        self._on_sent = on_sent
        self.sent = 0  # number of texts

    def judge(self, rows: Iterable[Sequence[str]]) -> list[frozenset[str]]:
        """The categories of each row, from all of its texts.

        The cache is written after each request, so an error loses at most one.
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
    """The text in pieces that fit into a request; empty for a blank text.

    A lone surrogate becomes a question mark.
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
    """The valid lines of a file, none if it does not exist."""
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
