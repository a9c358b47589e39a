"""What a judge said of texts, kept in a file so that none is sent twice.

A line of JSON for each text: a hash of it, and its categories; never the text. Lines are appended
in one write, and a line that was cut short, or is damaged, counts as not there. A file that has
grown large becomes the old one, and the old one before it goes. In memory a text takes 12 bytes.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import orjson

from ftops.data.screening.shelf import Shelf
from ftops.files import append_lines, make_private_dir, storage_error
from ftops.locks import hold_lock

FILENAME = "moderation.jsonl"
MAX_BYTES = 50_000_000  # about 900,000 texts
_DIGEST_BYTES = 16


class Verdicts:
    """The verdicts of one judge, who is known by his name: another one may judge otherwise."""

    def __init__(self, folder: Path, judge: str, max_bytes: int = MAX_BYTES) -> None:
        self._path = folder / FILENAME
        self._old_path = self._path.with_suffix(".old.jsonl")
        self._max_bytes = max_bytes
        # UTF-8 has no byte 0xFF: no name and text read like another name and text
        self._seed = blake2b(judge.encode() + b"\xff", digest_size=_DIGEST_BYTES)
        self._known = Shelf()  # which of the verdicts each text has
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
