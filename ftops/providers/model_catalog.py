"""What is known about models, looked up: first in the user's file, then in the one of ftops.

A figure is taken from the first place that tells it: the user's `models.toml` before the one that
comes with ftops; a server's own table before its provider's; a model's own table before the one of
which it is a dated snapshot, and that before patterns, the longest first. So a user may replace one
figure and keep the others.
"""

import fnmatch
import json
import math
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from ftops.capabilities import Capabilities, Naming
from ftops.clock import Clock
from ftops.errors import ModelsFileError
from ftops.records import Json
from ftops.text import find_nearest

SHIPPED = "ftops"
_OPENAI_NAMING = Naming()
MAX_BYTES = 1_000_000
_SHOWN_PROBLEMS = 20
_PROVIDER = re.compile(r"[a-z][a-z0-9_-]*")
_UNCONFIRMED = "unconfirmed"
_DAYS = frozenset({"no_jobs_from", "shutdown"})
_WHOLE = frozenset({"max_example_tokens"})
_MOST_USD = 1_000_000
_MOST_TOKENS = 1_000_000_000
FILENAME = "models.toml"
_SNAPSHOT = re.compile(r"(.+)-(\d{4}-\d{2}-\d{2}|\d{4})")
ENGINE_VOCABULARY = "engine"  # made for each job, out of its own rows

_VOCABULARIES: Sequence[tuple[str, str]] = (
    (r"(chatgpt-4o|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|o1|o3|o4-mini)(-.*)?", "o200k_base"),
    (r"(gpt-4|gpt-3\.5-turbo|gpt-35-turbo)(-.*)?", "cl100k_base"),
    (r"davinci-002|babbage-002", "cl100k_base"),
    (r"ada|babbage|curie|davinci|text-(ada|babbage|curie|davinci)-001", "r50k_base"),
    (r"text-davinci-00[23]", "p50k_base"),
)

Value = float | int | date
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a figure comes from: `source` is the path of a user's file, or SHIPPED.

    `confirmed` is False for what is expected of the provider, but not published by it.
    """

    as_of: date
    source: str
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class ExampleLimit:
    """The most tokens that a row of training data may have; what is longer is cut."""

    tokens: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Figures of one model at one provider; None is what nobody has told.

    Prices are US dollars for a million tokens. `origins` has an entry for each figure that is
    known; `price_advice` says which lines of which file tell the price of training.
    """

    train_usd: float | None = None
    input_usd: float | None = None
    cached_input_usd: float | None = None
    output_usd: float | None = None
    max_example_tokens: int | None = None
    no_jobs_from: date | None = None
    shutdown: date | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    price_advice: str = ""

    def find_example_limit(self) -> ExampleLimit | None:
        """How long a row may be, and who says so; None when nobody has told."""
        if self.max_example_tokens is None:
            return None
        return ExampleLimit(self.max_example_tokens, self.origins["max_example_tokens"])

    def to_json(self) -> dict[str, Json]:
        """The figures that are known, each with its date and its source."""
        return {
            name: {
                "value": value.isoformat() if isinstance(value, date) else value,
                "as_of": self.origins[name].as_of.isoformat(),
                "source": self.origins[name].source,
                "confirmed": self.origins[name].confirmed,
            }
            for name in MODEL_FIELDS
            if (value := getattr(self, name)) is not None and name in self.origins
        }


MODEL_FIELDS = tuple(
    one.name for one in fields(ModelInfo) if one.name not in ("origins", "price_advice")
)


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


class ModelCatalog:
    """Both files, read when the first question comes; ModelsFileError when the user's is wrong."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._path = home / FILENAME
        self._clock = clock

    def get_model_info(
        self, tables: Sequence[str], model: str, naming: Naming = _OPENAI_NAMING
    ) -> ModelInfo:
        """All that is known of the model in `tables`, which name a provider, narrowest first.

        A fine-tuned model has the values of its base, where no table names the model itself.
        """
        names = [model, base] if (base := naming.find_base_model(model)) else [model]
        found: dict[str, Value] = {}
        origins: dict[str, Origin] = {}
        for file, entry in self._find_entries(tables, names):
            for name, value in entry.values.items():
                if name not in found:
                    found[name] = value
                    confirmed = name not in entry.unconfirmed
                    origins[name] = Origin(file.as_of, file.source, confirmed)
        return ModelInfo(
            **{name: found.get(name) for name in MODEL_FIELDS},  # type: ignore[arg-type]  # as checked
            origins=origins,
            price_advice=self._advise(tables, names[-1]) if "train_usd" not in found else "",
        )

    def list_trainable(self, table: str) -> Iterator[str]:
        """The models of that table with a price of training, unless ended; the user's first.

        Where snapshots of a model are named, it is not: a job is for one of them.
        """
        today = self._clock.now().date()
        named = dict.fromkeys(
            model
            for file in filter(None, (self._own, self._shipped))
            for model in file.entries.get(table, {})
            if "*" not in model
        )
        parents = {snapshot[1] for model in named if (snapshot := _SNAPSHOT.fullmatch(model))}
        for model in named:
            if model in parents:
                continue
            figures = self.get_model_info((table,), model)
            ended = figures.shutdown is not None and figures.shutdown <= today
            if figures.train_usd is not None and not ended:
                yield model

    def _find_entries(
        self, tables: Sequence[str], names: Sequence[str]
    ) -> Iterator[tuple[ModelsFile, Entry]]:
        for file in filter(None, (self._own, self._shipped)):
            for table in tables:
                models = file.entries.get(table, {})
                fitting = [
                    (_rank(pattern, name), pattern)
                    for name in names
                    for pattern in models
                    if _fits(pattern, name)
                ]
                yield from ((file, models[pattern]) for _, pattern in sorted(fitting))

    @property
    def _shipped(self) -> ModelsFile:
        return read_shipped()

    @cached_property
    def _own(self) -> ModelsFile | None:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = error.strerror or str(error)
            raise ModelsFileError(f"{self._path}: cannot be read: {reason}") from error
        return read_models_file(content, str(self._path), providers=self._shipped.entries)

    def _advise(self, tables: Sequence[str], model: str) -> str:
        """Which lines of which file tell the price of training, ready to paste."""
        table = self._choose_table(tables)
        own = self._own.entries.get(table, {}) if self._own else {}
        lines = ["train_usd = PRICE"]
        if model in own:
            where = f"to the table [{_quote(table)}.{_quote(model)}] of {self._path}"
        else:
            where = f"to {self._path}"
            lines.insert(0, f"[{_quote(table)}.{_quote(model)}]")
        if self._own is None:
            lines.insert(0, f"as_of = {self._clock.now().date()}")
        return (
            f"Add {where}, with the US dollars for a million trained tokens as PRICE:\n\n"
            + "\n".join(lines)
        )

    def _choose_table(self, tables: Sequence[str]) -> str:
        """The name by which a user should call the provider in a file."""
        widest = tables[-1]
        usual_port = tables[0].endswith((":443", ":80"))
        if widest in self._shipped.entries or (usual_port and is_host(widest)):
            return widest
        return tables[0]


@cache
def read_shipped() -> ModelsFile:
    """What ftops itself knows of models."""
    return read_models_file((files("ftops.providers") / FILENAME).read_bytes(), SHIPPED)


def get_last_date(table: str, figure: str) -> date | None:
    """The latest day that ftops knows of any model there: `no_jobs_from` or `shutdown`."""
    entries = read_shipped().entries.get(table, {}).values()
    days = (entry.values.get(figure) for entry in entries)
    return max((day for day in days if isinstance(day, date)), default=None)


def _fits(pattern: str, name: str) -> bool:
    if "*" in pattern:
        literal = pattern.replace("[", "[[]").replace("?", "[?]")
        return fnmatch.fnmatchcase(name, literal)
    snapshot = _SNAPSHOT.fullmatch(name)
    return name == pattern or bool(snapshot and snapshot[1] == pattern)


def _rank(pattern: str, name: str) -> tuple[int, int]:
    """Narrow before wide: the name itself, its snapshots, patterns by their length."""
    if "*" in pattern:
        return 2, -len(pattern.replace("*", ""))
    return (0 if pattern == name else 1), -len(name)


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_-]+", name) is not None


def _quote(name: str) -> str:
    """A key of TOML."""
    return name if _is_plain(name) else json.dumps(name, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class EngineEstimate:
    """Tokens of one epoch in the engine's own vocabulary, and how it resolves "auto".

    `learned_tokens` have a loss, `longest` is the longest row, and `cut_rows` rows are longer than
    the model's context.
    """

    tokens: int
    learned_tokens: int
    longest: int
    cut_rows: int
    vocabulary: int
    n_epochs: int
    batch_size: int


def get_vocabulary_name(capabilities: Capabilities, model: str) -> str:
    """The vocabulary that tokenizes text for `model` or its base; "" when it is not known."""
    if capabilities.own_vocabulary:
        return ENGINE_VOCABULARY
    base = capabilities.naming.find_base_model(model) or model
    return next((name for known, name in _VOCABULARIES if re.fullmatch(known, base)), "")
