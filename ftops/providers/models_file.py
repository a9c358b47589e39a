"""Reads a `models.toml`: strictly, with the line of everything that is wrong.

The parser tells no places of what it has read, so the line of a table or key is looked for in the
text again; only messages depend on that.
"""

import math
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from ftops.errors import ModelsFileError
from ftops.providers.figures import MODEL_FIELDS
from ftops.text import find_nearest

MAX_BYTES = 1_000_000
_SHOWN_PROBLEMS = 20
_PROVIDER = re.compile(r"[a-z][a-z0-9_-]*")
_UNCONFIRMED = "unconfirmed"
_DAYS = frozenset({"no_jobs_from", "shutdown"})
_WHOLE = frozenset({"max_example_tokens"})
_MOST_USD = 1_000_000
_MOST_TOKENS = 1_000_000_000

Value = float | int | date
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one table says of a model, or of all whose names its pattern fits."""

    values: Mapping[str, Value]
    unconfirmed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ModelsFile:
    """All that one file says, by the provider's name and the model's; `source` says whose it is."""

    as_of: date
    source: str
    entries: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)


def read_models_file(
    content: bytes, source: str, *, providers: Collection[str] | None = None
) -> ModelsFile:
    """The file, or ModelsFileError with every problem and its line.

    A table that has a bare word for its name must be one of `providers` (None: any may be).
    """
    text, document = _parse(content, source)
    reader = _Reader(text, providers)
    made = reader.read(document, source)
    if made is None or reader.problems:
        shown = [
            f"{source}:{line}: {reason}" if line else f"{source}: {reason}"
            for line, reason in sorted(reader.problems)[:_SHOWN_PROBLEMS]
        ]
        more = len(reader.problems) - len(shown)
        raise ModelsFileError("\n".join([*shown, f"… and {more} more"] if more else shown))
    return made


def is_host(name: str) -> bool:
    """Whether a table of that name speaks of the server at that host, not of a provider."""
    return name == "localhost" or not _PROVIDER.fullmatch(name)


def _parse(content: bytes, source: str) -> tuple[str, dict[str, Any]]:
    if len(content) > MAX_BYTES:
        raise ModelsFileError(f"{source}: larger than {MAX_BYTES:,} bytes, so no list of models")
    try:
        text = content.decode("utf-8-sig")
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ModelsFileError(f"{source}:{line}: not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ModelsFileError(_place(str(error), source, text)) from error
    except RecursionError as error:
        raise ModelsFileError(f"{source}: nested too deeply, so no list of models") from error


def _place(message: str, source: str, text: str) -> str:
    """The parser's message with the place in front, as all others have it."""
    found = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    line, column = (int(found[1]), int(found[2])) if found else (text.count("\n") + 1, 1)
    reason = message[: found.start()] if found else message
    begin = "".join(text.splitlines()[line - 1 : line])[:100]
    shown = "".join(char if char.isprintable() else "\ufffd" for char in begin).strip()
    excerpt = f"\n    {shown}" if shown else ""
    return f"{source}:{line}:{column}: no TOML: {reason}{excerpt}"


class _Reader:
    """One pass over a document; what is wrong gathers in `problems`, as (line, reason)."""

    def __init__(self, text: str, providers: Collection[str] | None) -> None:
        self.problems: list[tuple[int, str]] = []
        self._text = text
        self._providers = providers

    def read(self, document: Mapping[str, Any], source: str) -> ModelsFile | None:
        as_of = document.get("as_of")
        if as_of is None:
            reason = "as_of is missing: add the day of these figures, such as as_of = 2026-11-22"
            self.problems.append((1, reason))
        elif type(as_of) is not date:
            self._report(("as_of",), "as_of must be a day such as 2026-11-22")
        entries = {
            provider: self._read_provider(provider, models)
            for provider, models in document.items()
            if provider != "as_of" and self._is_provider(provider, models)
        }
        return ModelsFile(as_of, source, entries) if type(as_of) is date else None

    def _is_provider(self, name: str, models: object) -> bool:
        if not isinstance(models, dict):
            self._report((name,), f"unknown key {name!r}: here stand as_of and tables of models")
        elif is_host(name):
            return True
        elif self._providers is not None and name not in self._providers:
            known = ", ".join(sorted(self._providers))
            self._report(
                (name,),
                f"unknown provider {name!r}{_guess(name, self._providers)};"
                f" there are {known}; any other server is named by the host of its base_url,"
                " with the port where it is a single word",
            )
        else:
            return True
        return False

    def _read_provider(self, provider: str, models: Mapping[str, Any]) -> dict[str, Entry]:
        entries = {}
        for model, values in models.items():
            path = (provider, model)
            if not isinstance(values, dict):
                self._report(
                    path, f'{model!r} stands above the models: write [{provider}."MODEL"] first'
                )
            elif not 0 < len(model) <= 256:
                self._report(path, "the name of a model has 1 to 256 characters")
            else:
                entries[model] = self._read_entry(path, values)
        return entries

    def _read_entry(self, path: Key, values: Mapping[str, Any]) -> Entry:
        found: dict[str, Value] = {}
        for name, value in values.items():
            if name == _UNCONFIRMED:
                continue
            wanted = _find_wanted(name)
            if wanted is None:
                known = ", ".join((*MODEL_FIELDS, _UNCONFIRMED))
                guess = _guess(name, (*MODEL_FIELDS, _UNCONFIRMED))
                self._report((*path, name), f"unknown key {name!r}{guess}; known here: {known}")
            elif not _is_sound(name, value):
                self._report((*path, name), f"{name} must be {wanted}")
            else:
                found[name] = value
        return Entry(found, self._read_unconfirmed(path, values))

    def _read_unconfirmed(self, path: Key, values: Mapping[str, Any]) -> frozenset[str]:
        names = values.get(_UNCONFIRMED, [])
        if not isinstance(names, list) or any(name not in MODEL_FIELDS for name in names):
            self._report((*path, _UNCONFIRMED), "unconfirmed must be a list of names of figures")
            return frozenset()
        return frozenset(names)

    def _report(self, path: Key, reason: str) -> None:
        self.problems.append((self._find_line(path), reason))

    @cached_property
    def _lines(self) -> dict[Key, int]:
        return _find_lines(self._text)  # takes longer than all the rest, and most files are right

    def _find_line(self, path: Key) -> int:
        """Where `path` stands, or else the nearest table around it; 0 when nobody can tell."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return self._lines[path[:length]]
        return 0


def _find_wanted(name: str) -> str | None:
    """What the value of that key must be, in words; None for an unknown key."""
    if name not in MODEL_FIELDS:
        return None
    if name in _DAYS:
        return "a day such as 2027-01-14"
    if name in _WHOLE:
        return f"a whole number of tokens from 1 to {_MOST_TOKENS:,}"
    return f"a number of US dollars for a million tokens, from 0 to {_MOST_USD:,}"


def _is_sound(name: str, value: object) -> bool:
    if name in _DAYS:
        return type(value) is date
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if name in _WHOLE:
        return isinstance(value, int) and 1 <= value <= _MOST_TOKENS
    return math.isfinite(value) and 0 <= value <= _MOST_USD


def _guess(name: str, known: Collection[str]) -> str:
    near = find_nearest(name, known)
    return f", did you mean {near!r}?" if near else ""


def _find_lines(text: str) -> dict[Key, int]:
    """The line of every table and key that stands on a line of its own."""
    lines: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("["):
            table = _parse_key(line) or table
            path = table
        else:
            path = next(
                ((*table, *key) for text in _heads(line) if (key := _parse_key(f"{text}= 0"))), ()
            )
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], number)
    return lines


def _heads(line: str) -> Iterator[str]:
    """What may be the key of the line: what stands before one of its first equals signs."""
    places = [place for place, char in enumerate(line) if char == "="]
    return (line[:place] for place in places[:4])


def _parse_key(line: str) -> Key:
    """The names in a line of TOML; none when it cannot be read by itself."""
    try:
        value: Any = tomllib.loads(line)
    except (tomllib.TOMLDecodeError, RecursionError):
        return ()
    names = []
    while isinstance(value, dict) and len(value) == 1:
        ((name, value),) = value.items()
        names.append(name)
    return tuple(names)
