"""Data about models that needs no request: prices, limits, dates, vocabularies.

A value comes from the first source that has it: the user's `models.toml` before that of ftops; the
table of a server before that of its provider; the table of a model before that of the model whose
dated snapshot it is, and then patterns, longest first. A user can therefore override a single
value. A `models.toml` is read strictly, and every problem is reported with its line.
"""

import fnmatch
import json
import math
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from ftops.capabilities import Capabilities, Naming
from ftops.clock import Clock
from ftops.errors import ModelsFileError
from ftops.records import ENGINE_PROVIDER, Json
from ftops.text import find_nearest

SHIPPED = "ftops"
_OPENAI_NAMING = Naming()
MAX_BYTES = 1_000_000
_SHOWN_PROBLEMS = 20
_PROVIDER = re.compile(r"[a-z][a-z0-9_-]*")
_UNCONFIRMED, _AS_OF, _REFERENCE = "unconfirmed", "as_of", "reference"
_ABOUT = (_UNCONFIRMED, _AS_OF, _REFERENCE)  # keys about the values of a table
_MAX_REFERENCE = 200
_DAYS = frozenset({"no_jobs_from", "shutdown"})
_WHOLE = frozenset({"max_example_tokens"})
_MOST_USD = 1_000_000
_MOST_TOKENS = 1_000_000_000
FILENAME = "models.toml"
_SNAPSHOT = re.compile(r"(.+)-(\d{4}-\d{2}-\d{2}|\d{4})")
ENGINE_VOCABULARY = "engine"  # trained for each job on its own rows

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
    """Where a value comes from: `source` is the path of a user's file, or SHIPPED.

    `confirmed` is False for a value that the provider has not published; `reference` is the place
    where it was found, if the file names one.
    """

    as_of: date
    source: str
    confirmed: bool = True
    reference: str = ""


@dataclass(frozen=True, slots=True)
class ExampleLimit:
    """The maximum of tokens in a row of training data; longer rows are truncated."""

    tokens: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Prices, limits and dates of one model at one provider; None is unknown.

    Prices are US dollars for a million tokens. `origins` has an entry for each known value;
    `price_advice` says how to add the price of training to `models.toml`.
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
        """The maximum length of a row, with its source; None when it is unknown."""
        if self.max_example_tokens is None:
            return None
        return ExampleLimit(self.max_example_tokens, self.origins["max_example_tokens"])

    def to_json(self) -> dict[str, Json]:
        """The known values, each with its date and its source."""
        return {
            name: {
                "value": value.isoformat() if isinstance(value, date) else value,
                "as_of": self.origins[name].as_of.isoformat(),
                "source": self.origins[name].source,
                "confirmed": self.origins[name].confirmed,
                "reference": self.origins[name].reference or None,
            }
            for name in MODEL_FIELDS
            if (value := getattr(self, name)) is not None and name in self.origins
        }


MODEL_FIELDS = tuple(
    info.name for info in fields(ModelInfo) if info.name not in ("origins", "price_advice")
)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One table of a `models.toml`, for a model or for all models that fit a pattern.

    `as_of` replaces the date of the file; `reference` is the place where the values were found.
    """

    values: Mapping[str, Value]
    unconfirmed: frozenset[str] = frozenset()
    as_of: date | None = None
    reference: str = ""


@dataclass(frozen=True, slots=True)
class ModelsFile:
    """A `models.toml`: entries by provider and model; `source` is its path, or SHIPPED."""

    as_of: date
    source: str
    entries: Mapping[str, Mapping[str, ModelEntry]] = field(default_factory=dict)


def read_models_file(
    content: bytes, source: str, *, providers: Collection[str] | None = None
) -> ModelsFile:
    """The file, or ModelsFileError with every problem and its line.

    A table whose name is a single word must be one of `providers` (None: any word).
    """
    text, document = _parse(content, source)
    reader = _ModelsFileReader(text, providers)
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
    """Whether a table of that name applies to the server at that host, not to a provider."""
    return name == "localhost" or not _PROVIDER.fullmatch(name)


def _parse(content: bytes, source: str) -> tuple[str, dict[str, Any]]:
    if len(content) > MAX_BYTES:
        raise ModelsFileError(
            f"{source}: larger than {MAX_BYTES:,} bytes, which is no list of models"
        )
    try:
        text = content.decode("utf-8-sig")
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ModelsFileError(f"{source}:{line}: not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ModelsFileError(_add_location(str(error), source, text)) from error
    except RecursionError as error:
        raise ModelsFileError(f"{source}: nested too deeply, which is no list of models") from error


def _add_location(message: str, source: str, text: str) -> str:
    """The parser's message with file, line and column in front."""
    match = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    line, column = (int(match[1]), int(match[2])) if match else (text.count("\n") + 1, 1)
    reason = message[: match.start()] if match else message
    begin = "".join(text.splitlines()[line - 1 : line])[:100]
    shown = "".join(char if char.isprintable() else "\ufffd" for char in begin).strip()
    excerpt = f"\n    {shown}" if shown else ""
    return f"{source}:{line}:{column}: invalid TOML: {reason}{excerpt}"


class _ModelsFileReader:
    """Reads a document; `problems` holds (line, reason) pairs."""

    def __init__(self, text: str, providers: Collection[str] | None) -> None:
        self.problems: list[tuple[int, str]] = []
        self._text = text
        self._providers = providers

    def read(self, document: Mapping[str, Any], source: str) -> ModelsFile | None:
        as_of = document.get("as_of")
        if as_of is None:
            reason = "as_of is missing: add the date of these values, such as as_of = 2026-11-22"
            self.problems.append((1, reason))
        elif type(as_of) is not date:
            self._report(("as_of",), "as_of must be a date such as 2026-11-22")
        entries = {
            provider: self._read_provider(provider, models)
            for provider, models in document.items()
            if provider != "as_of" and self._is_provider(provider, models)
        }
        return ModelsFile(as_of, source, entries) if type(as_of) is date else None

    def _is_provider(self, name: str, models: object) -> bool:
        if not isinstance(models, dict):
            self._report(
                (name,), f"unknown key {name!r}: only as_of and tables of models are allowed here"
            )
        elif is_host(name):
            return True
        elif self._providers is not None and name not in self._providers:
            known = ", ".join(sorted(self._providers))
            self._report(
                (name,),
                f"unknown provider {name!r}{_guess(name, self._providers)};"
                f" there are {known}; name any other server by the host of its base_url,"
                " with the port if the host is a single word",
            )
        else:
            return True
        return False

    def _read_provider(self, provider: str, models: Mapping[str, Any]) -> dict[str, ModelEntry]:
        entries = {}
        for model, values in models.items():
            path = (provider, model)
            if not isinstance(values, dict):
                self._report(
                    path, f'{model!r} is above the models: write [{provider}."MODEL"] first'
                )
            elif not 0 < len(model) <= 256:
                self._report(path, "a model name must have 1 to 256 characters")
            else:
                entries[model] = self._read_entry(path, values)
        return entries

    def _read_entry(self, path: Key, values: Mapping[str, Any]) -> ModelEntry:
        known: dict[str, Value] = {}
        for name, value in values.items():
            if name in _ABOUT:
                continue
            expected = _find_expected(name)
            if expected is None:
                names = ", ".join((*MODEL_FIELDS, *_ABOUT))
                guess = _guess(name, (*MODEL_FIELDS, *_ABOUT))
                self._report((*path, name), f"unknown key {name!r}{guess}; known here: {names}")
            elif not _is_sound(name, value):
                self._report((*path, name), f"{name} must be {expected}")
            else:
                known[name] = value
        as_of, reference = values.get(_AS_OF), values.get(_REFERENCE, "")
        if as_of is not None and type(as_of) is not date:
            self._report((*path, _AS_OF), "as_of must be a date such as 2026-11-22")
        if not isinstance(reference, str) or len(reference) > _MAX_REFERENCE:
            reason = f"reference must be a text of at most {_MAX_REFERENCE} characters"
            self._report((*path, _REFERENCE), reason)
        return ModelEntry(known, self._read_unconfirmed(path, values), as_of, reference)

    def _read_unconfirmed(self, path: Key, values: Mapping[str, Any]) -> frozenset[str]:
        names = values.get(_UNCONFIRMED, [])
        if not isinstance(names, list) or any(name not in MODEL_FIELDS for name in names):
            self._report((*path, _UNCONFIRMED), "unconfirmed must be a list of field names")
            return frozenset()
        return frozenset(names)

    def _report(self, path: Key, reason: str) -> None:
        self.problems.append((self._get_line(path), reason))

    @cached_property
    def _lines(self) -> dict[Key, int]:
        return _index_lines(self._text)  # slow, and most files are valid

    def _get_line(self, path: Key) -> int:
        """The line of `path`, or of the nearest table around it; 0 when unknown."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return self._lines[path[:length]]
        return 0


def _find_expected(name: str) -> str | None:
    """A description of valid values of the key; None for an unknown key."""
    if name not in MODEL_FIELDS:
        return None
    if name in _DAYS:
        return "a date such as 2027-01-14"
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


def _index_lines(text: str) -> dict[Key, int]:
    """The line of every table, and of every key that starts a line."""
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
    """Candidates for the key of the line: the text before one of its first equals signs."""
    places = [place for place, char in enumerate(line) if char == "="]
    return (line[:place] for place in places[:4])


def _parse_key(line: str) -> Key:
    """The names in a line of TOML; empty when the line itself is not valid TOML."""
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
    """Looks up values in both files; raises ModelsFileError when the user's file is invalid.

    The base models that were added to the built-in engine have their own context length.
    """

    def __init__(self, home: Path, clock: Clock) -> None:
        self._path = home / FILENAME
        self._base_models = home / "engine" / "base_models"
        self._clock = clock

    def get_model_info(
        self, tables: Sequence[str], model: str, naming: Naming = _OPENAI_NAMING
    ) -> ModelInfo:
        """The known values of the model; `tables` are those of a provider, narrowest first.

        A fine-tuned model has the values of its base, unless a table names the model itself.
        """
        names = [model, base] if (base := naming.find_base_model(model)) else [model]
        values: dict[str, Value] = {}
        origins: dict[str, Origin] = {}
        for file, entry in self._iterate_entries(tables, names):
            for name, value in entry.values.items():
                if name not in values:
                    values[name] = value
                    confirmed = name not in entry.unconfirmed
                    day = entry.as_of or file.as_of
                    origins[name] = Origin(day, file.source, confirmed, entry.reference)
        return ModelInfo(
            **{name: values.get(name) for name in MODEL_FIELDS},  # type: ignore[arg-type]  # as checked
            origins=origins,
            price_advice=self._advise(tables, names[-1]) if "train_usd" not in values else "",
        )

    def list_trainable(self, table: str) -> Iterator[str]:
        """The models of the table with a training price that are not shut down; the user's first.

        A model with snapshots is left out, because jobs train its snapshots.
        """
        named = self._list_named(table)
        parents = {snapshot[1] for model in named if (snapshot := _SNAPSHOT.fullmatch(model))}
        for model in self.list_models(table):
            figures = self.get_model_info((table,), model)
            if model not in parents and figures.train_usd is not None:
                yield model

    def list_models(self, table: str) -> Iterator[str]:
        """The models that the table names and that are not shut down; the user's first."""
        today = self._clock.now().date()
        for model in self._list_named(table):
            shutdown = self.get_model_info((table,), model).shutdown
            if shutdown is None or shutdown > today:
                yield model

    def _list_named(self, table: str) -> list[str]:
        entries = (file.entries.get(table, {}) for file in self._files)
        return list(
            dict.fromkeys(model for models in entries for model in models if "*" not in model)
        )

    def _iterate_entries(
        self, tables: Sequence[str], names: Sequence[str]
    ) -> Iterator[tuple[ModelsFile, ModelEntry]]:
        for file in self._files:
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
    def _files(self) -> Sequence[ModelsFile]:
        own = (self._own,) if self._own else ()
        return (*own, *self._added, self._shipped)

    @cached_property
    def _added(self) -> Sequence[ModelsFile]:
        """A file for each base model of the engine, from its description."""
        return [
            file
            for path in sorted(self._base_models.glob("[!.]*/base.json"))
            if (file := _read_base_model(path)) is not None
        ]

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
        """How to add the price of training: the lines and the file."""
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
            f"Add {where}, with the price in US dollars for a million training tokens as PRICE:\n\n"
            + "\n".join(lines)
        )

    def _choose_table(self, tables: Sequence[str]) -> str:
        """The name of the table to add for the provider."""
        widest = tables[-1]
        usual_port = tables[0].endswith((":443", ":80"))
        if widest in self._shipped.entries or (usual_port and is_host(widest)):
            return widest
        return tables[0]


def _read_base_model(path: Path) -> ModelsFile | None:
    try:
        tokens = int(json.loads(path.read_bytes())["context_length"])
        day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    entry = ModelEntry({"max_example_tokens": tokens})
    return ModelsFile(day, str(path), {ENGINE_PROVIDER: {path.parent.name: entry}})


@cache
def read_shipped() -> ModelsFile:
    """The `models.toml` of ftops."""
    return read_models_file((files("ftops.providers") / FILENAME).read_bytes(), SHIPPED)


def find_last_date(table: str, field_name: str) -> date | None:
    """The latest `no_jobs_from` or `shutdown` of any model in the table."""
    entries = read_shipped().entries.get(table, {}).values()
    days = (entry.values.get(field_name) for entry in entries)
    return max((day for day in days if isinstance(day, date)), default=None)


def _fits(pattern: str, name: str) -> bool:
    if "*" in pattern:
        literal = pattern.replace("[", "[[]").replace("?", "[?]")
        return fnmatch.fnmatchcase(name, literal)
    snapshot = _SNAPSHOT.fullmatch(name)
    return name == pattern or bool(snapshot and snapshot[1] == pattern)


def _rank(pattern: str, name: str) -> tuple[int, int]:
    """The sort key: the name itself, its snapshots, then patterns, longest first."""
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
    """Tokens of one epoch in the engine's own vocabulary, and its values for "auto".

    `learned_tokens` count in the loss, `longest` is the longest row, and `cut_rows` rows are longer
    than the model's context. For a pre-trained base model, `memory_bytes` is what the training
    needs, and `tokens_per_second` the speed of the last training on it, if there was one.
    `step_s` is set when two steps were measured, and speed and memory are theirs.
    """

    tokens: int
    learned_tokens: int
    longest: int
    cut_rows: int
    vocabulary: int
    n_epochs: int
    batch_size: int
    tokens_per_second: float | None = None
    memory_bytes: int | None = None
    step_s: float | None = None


@dataclass(frozen=True, slots=True)
class EngineJob:
    """A job that the engine estimates: its prepared files and hyperparameters.

    `hyperparameters` have the names of the API; a section such as `lora` is one of them.
    """

    training: Path
    model: str
    validation: Path | None = None
    hyperparameters: Mapping[str, Json] = field(default_factory=dict)


def get_vocabulary_name(capabilities: Capabilities, model: str) -> str:
    """The vocabulary of `model` or its base; "" when it is unknown."""
    if capabilities.own_vocabulary:
        return ENGINE_VOCABULARY
    base = capabilities.naming.find_base_model(model) or model
    return next((name for known, name in _VOCABULARIES if re.fullmatch(known, base)), "")
