"""What every section of the job file is made of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from ftops.records import Json
from ftops.spec.problem import quoted
from ftops.spec.yaml_reader import resolve_plain
from ftops.text import suggest_name


@dataclass(frozen=True, slots=True)
class Expected:
    """What a value must be: `text` completes "n_epochs must be …".

    `kind` tells quotes to add from quotes to drop; the value of a `private` field is never shown.
    """

    text: str
    kind: Literal["text", "number", "flag", "group"] = "text"
    choices: tuple[str, ...] = ()
    private: bool = False


class Section(BaseModel):
    """A mapping of the job file: strict, closed, unchangeable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    LABEL: ClassVar[str] = "the job file"


def get_expected(field: FieldInfo) -> Expected:
    """What the field says its values must be."""
    return next(item for item in field.metadata if isinstance(item, Expected))


_FLAGS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def suggest(wanted: Expected, value: object, shown: str) -> str:
    """What the user probably meant; empty when nobody can tell."""
    if isinstance(value, str) and (suggestion := suggest_name(value, wanted.choices)):
        return suggestion
    if wanted.kind == "text" and isinstance(value, bool | int | float):
        return f'put it in quotes: "{shown}"'
    if wanted.kind == "flag" and isinstance(value, str) and value.lower() in _FLAGS:
        return f"write {_FLAGS[value.lower()]}"
    if wanted.kind in ("number", "flag") and isinstance(value, str):
        plain = resolve_plain(value)
        if not isinstance(plain, str) and plain is not None:
            return f"write it without quotes: {value}"
    return ""


Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class EntryType:
    """What a word takes: nothing, a mapping (`section`), or the value of its field `short`.

    `alone` words need nothing said about them.
    """

    description: str
    section: type[Section] | None = None
    short: str | None = None
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """One item that was understood; `settings` is None for a word that takes none."""

    word: str
    settings: Section | None = None


@dataclass(frozen=True, slots=True)
class EntryError:
    """What is wrong with an item, and where in it; `at_key` when a name is the trouble."""

    path: Path
    message: str
    suggestion: str = ""
    at_key: bool = False


def read_entry(value: Json, kinds: Mapping[str, EntryType]) -> Entry | list[EntryError]:
    """The item, or everything that is wrong with it."""
    if isinstance(value, str):
        return _read_word(value, kinds)
    if not isinstance(value, dict) or not value:
        return [EntryError((), f"a name, or `name: …`, is wanted here, not {_show(value)}")]
    word = next(iter(value))
    if word not in kinds:
        return [
            EntryError((word,), f"unknown name {quoted(word)}", _guess(word, kinds), at_key=True)
        ]
    section = kinds[word].section
    if len(value) > 1:
        second = list(value)[1]
        message = f"an item has one name, and {quoted(second)} is another"
        return [EntryError((second,), message, "begin a new item with it: `- name`", at_key=True)]
    if section is None:
        message = f"{word} takes nothing after it"
        return [EntryError((word,), message, f"write `{word}` alone")]
    return _read_settings(word, value[word], kinds[word], section)


def list_entry_errors(value: Json, kinds: Mapping[str, EntryType]) -> Iterator[EntryError]:
    """What is wrong in the whole list; nothing about what is no list."""
    for number, item in enumerate(value if isinstance(value, list) else ()):
        read = read_entry(item, kinds)
        for flaw in read if isinstance(read, list) else ():
            yield EntryError((number, *flaw.path), flaw.message, flaw.suggestion, flaw.at_key)


def read_entries(items: tuple[Json, ...], kinds: Mapping[str, EntryType]) -> tuple[Entry, ...]:
    """All items of a list in which `find_flaws` has found nothing; ValueError otherwise."""
    entries = []
    for item in items:
        read = read_entry(item, kinds)
        if isinstance(read, list):
            raise ValueError(read[0].message)
        entries.append(read)
    return tuple(entries)


def _read_word(word: str, kinds: Mapping[str, EntryType]) -> Entry | list[EntryError]:
    kind = kinds.get(word)
    if kind is None:
        return [EntryError((), f"unknown name {quoted(word)}", _guess(word, kinds))]
    if not kind.alone:
        wanted = _wanted(kind)
        return [EntryError((), f"{word} needs something after it", f"write `{word}: …`: {wanted}")]
    return Entry(word, kind.section() if kind.section else None)


def _wanted(kind: EntryType) -> str:
    assert kind.section is not None
    if kind.short:
        return get_expected(kind.section.model_fields[kind.short]).text
    return "a mapping of " + ", ".join(kind.section.model_fields)


def _read_settings(
    word: str, said: Json, kind: EntryType, section: type[Section]
) -> Entry | list[EntryError]:
    if isinstance(said, dict):
        given = said
    elif said is None and kind.alone:
        given = {}
    elif kind.short is not None:
        given = {kind.short: said}
    else:
        return [EntryError((word,), f"{word} must be {_wanted(kind)}, not {_show(said)}")]
    try:
        return Entry(word, section.model_validate(given))
    except ValidationError as error:
        spread = isinstance(said, dict)
        where = {name: (word, name) if spread else (word,) for name in given}
        return list(_explain(error, section, given, word, where))


def _explain(
    error: ValidationError,
    section: type[Section],
    given: Mapping[str, Json],
    word: str,
    where: Mapping[str, Path],
) -> Iterator[EntryError]:
    told: set[str] = set()
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(detail["loc"][0]) if detail["loc"] else ""
        if name in told:
            continue
        told.add(name)
        if detail["type"] == "missing" and len(detail["loc"]) == 1:
            yield EntryError((word,), f"{word} lacks {name}", f"add `{name}: …`", at_key=True)
        elif name not in section.model_fields:
            known = f"known here: {', '.join(section.model_fields)}"
            meant = suggest_name(name, section.model_fields, known)
            yield EntryError(where.get(name, ()), f"unknown key {quoted(name)}", meant, at_key=True)
        elif isinstance(given.get(name), dict):
            inner = str(detail["loc"][-1])
            message = f"{word}.{name} is not right: look at {quoted(inner)}"
            path = (*where[name], inner)
            yield EntryError(path, message, f"`{name}` is spelled as it is at the top level")
        else:
            wanted, value = get_expected(section.model_fields[name]), given.get(name)
            shown = _show(value)
            message = f"{name} must be {wanted.text}, not {shown}"
            yield EntryError(where.get(name, (word,)), message, suggest(wanted, value, shown))


def _guess(word: str, kinds: Mapping[str, EntryType]) -> str:
    return suggest_name(word, kinds, f"known here: {', '.join(kinds)}")


def _show(value: Json) -> str:
    if isinstance(value, str):
        return quoted(value)
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    return str(value)
