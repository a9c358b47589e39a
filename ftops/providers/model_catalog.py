"""What is known about models, looked up: first in the user's file, then in the one of ftops.

A figure is taken from the first place that tells it: the user's `models.toml` before the one that
comes with ftops; a server's own table before its provider's; a model's own table before the one of
which it is a dated snapshot, and that before patterns, the longest first. So a user may replace one
figure and keep the others.
"""

import fnmatch
import json
import re
from collections.abc import Iterator, Sequence
from datetime import date
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path

from ftops.clock import Clock
from ftops.errors import ModelsFileError
from ftops.providers.figures import MODEL_FIELDS, SHIPPED, ModelInfo, Origin
from ftops.providers.models_file import Entry, ModelsFile, Value, is_host, read_models_file
from ftops.providers.wire import find_base_model

FILENAME = "models.toml"
_SNAPSHOT = re.compile(r"(.+)-(\d{4}-\d{2}-\d{2}|\d{4})")


class ModelCatalog:
    """Both files, read when the first question comes; ModelsFileError when the user's is wrong."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._path = home / FILENAME
        self._clock = clock

    def get_model_info(self, tables: Sequence[str], model: str) -> ModelInfo:
        """All that is known of the model where a provider has these names, narrowest first.

        A fine-tuned model has the figures of its base, where no table names itself.
        """
        names = [model, base] if (base := find_base_model(model)) else [model]
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
