"""Exact token counts with tiktoken, for vocabularies that are on disk.

tiktoken downloads missing vocabularies without a time limit. So a vocabulary is used only when its
complete file is in a folder, and tiktoken reads that folder. tiktoken and vocabularies are
optional.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ftops.files import make_private_dir, write_atomic

_PLACE = "https://openaipublic.blob.core.windows.net/encodings/"
_FOLDER_VARIABLE = "TIKTOKEN_CACHE_DIR"
_OTHER_VARIABLE = "DATA_GYM_CACHE_DIR"
_LONGEST = 50_000  # characters encoded at once: time grows faster than the text

SHA256: Mapping[str, str] = {
    "r50k_base": "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
    "p50k_base": "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
}


class Encoder(Protocol):
    """The encoder of tiktoken for a vocabulary."""

    def encode_ordinary(self, text: str) -> list[int]: ...

    def decode_single_token_bytes(self, token: int) -> bytes: ...


class Vocabulary:
    """Counts tokens exactly."""

    error = 0.0

    def __init__(self, name: str, encoder: Encoder) -> None:
        self.vocabulary = name
        self.method = f"counted with {name}"
        self._encoder = encoder

    def count(self, texts: Iterable[str]) -> list[int]:
        """The tokens of each text."""
        known: dict[str, int] = {}  # labels repeat
        return [
            known[text] if text in known else known.setdefault(text, self._count_one(text))
            for text in texts
        ]

    def split(self, text: str) -> list[str]:
        """The text of each token; U+FFFD where a token ends within a character."""
        return [
            self._encoder.decode_single_token_bytes(token).decode("utf-8", "replace")
            for piece in _cut(text)
            for token in self._encoder.encode_ordinary(piece)
        ]

    def _count_one(self, text: str) -> int:
        return sum(len(self._encoder.encode_ordinary(piece)) for piece in _cut(text))


def _cut(text: str) -> Iterator[str]:
    """The text in pieces that are quick to encode, cut before spaces, where tokens start."""
    text = text if text.isascii() else text.encode("utf-8", "replace").decode()
    start = 0
    while len(text) - start > _LONGEST:
        blank = text.rfind(" ", start + 1, start + _LONGEST)
        end = blank if blank > 0 else start + _LONGEST
        yield text[start:end]
        start = end
    yield text[start:] if start else text


@dataclass(frozen=True, slots=True)
class VocabularyFile:
    """The URL of a vocabulary, its file name in the cache of tiktoken, and its hash."""

    url: str
    filename: str
    sha256: str


def find_vocabulary_file(name: str) -> VocabularyFile | None:
    """The file of a vocabulary; None for an unknown one."""
    if name not in SHA256:
        return None
    url = f"{_PLACE}{name}.tiktoken"
    filename = hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    return VocabularyFile(url, filename, SHA256[name])


def list_vocabulary_folders(environ: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """The folders that may hold vocabularies: that of tiktoken, then one in `home`.

    A folder that the environment names replaces the default one of tiktoken.
    """
    named = environ.get(_FOLDER_VARIABLE) or environ.get(_OTHER_VARIABLE)
    usual = Path(named) if named else Path(tempfile.gettempdir(), "data-gym-cache")
    return usual, home / "vocabularies"


def find_vocabulary(name: str, folders: Iterable[Path]) -> Vocabulary | None:
    """The vocabulary, if tiktoken is installed and a folder has its file."""
    wanted = find_vocabulary_file(name)
    if wanted is None:
        return None
    for folder in folders:
        if not _is_whole(folder / wanted.filename, wanted.sha256):
            continue
        try:
            import tiktoken
        except ImportError:
            return None
        with _cache_folder(folder):
            return Vocabulary(name, tiktoken.get_encoding(name))
    return None


def store_vocabulary(name: str, content: bytes, folder: Path) -> bool:
    """Store a downloaded vocabulary file; False, and nothing stored, if the hash differs."""
    wanted = find_vocabulary_file(name)
    if wanted is None or hashlib.sha256(content).hexdigest() != wanted.sha256:
        return False
    make_private_dir(folder)
    write_atomic(folder / wanted.filename, content)
    return True


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


@contextmanager
def _cache_folder(folder: Path) -> Iterator[None]:
    """Point tiktoken to `folder` with an environment variable, the only way it supports."""
    before = os.environ.get(_FOLDER_VARIABLE)
    os.environ[_FOLDER_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FOLDER_VARIABLE]
        else:
            os.environ[_FOLDER_VARIABLE] = before
