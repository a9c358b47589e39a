"""Sections of the job file, the values that their fields expect, and lists of named items.

`base`, `few-shot: 5` and `few-shot: {examples: 5, selection: nearest}` are such items: a name
alone, with one value, or with settings. Each name has an `EntryType`. Its settings are a section,
of which one field can be written without its name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from ftops.records import Json
from ftops.spec.problem import KeyPath, quoted
from ftops.spec.secret import is_secret_field
from ftops.spec.yaml_reader import resolve_plain
from ftops.text import suggest_name

_UNBOUNDED = 1_000_000_000_000  # a larger maximum is not mentioned
_FLAGS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a value must be: `text` completes "n_epochs must be …".

    `kind` decides whether a message suggests to add or to remove quotes; the value of a `private`
    field is never shown.
    """

    text: str
    kind: Literal["text", "number", "flag", "group"] = "text"
    choices: tuple[str, ...] = ()
    private: bool = False


class Section(BaseModel):
    """A mapping of the job file: strict, without unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    LABEL: ClassVar[str] = "the job file"


def get_expected(field: FieldInfo) -> Expected:
    """What the field's values must be: its `Expected`, else a text from its type and bounds."""
    for item in field.metadata:
        if isinstance(item, Expected):
            return item
    return _describe(field.annotation, field.metadata)


def _describe(annotation: Any, metadata: list[Any]) -> Expected:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):  # an Annotated type inside a union
        return get_expected(FieldInfo.from_annotation(annotation))
    if origin in (Union, UnionType):
        parts = [
            _describe(part, metadata)
            for part in sorted(arguments, key=_is_no_literal)
            if part is not NoneType
        ]
        choices = tuple(choice for part in parts for choice in part.choices)
        quotes = '"' if len(parts) > 1 else ""  # "auto" next to a number
        texts = [f"{quotes}{part.text}{quotes}" if part.choices else part.text for part in parts]
        return Expected(" or ".join(texts), parts[-1].kind, choices)
    if origin is Literal and isinstance(arguments[0], int):
        return Expected(_join(tuple(map(str, arguments))), "number")
    if origin is Literal:
        return Expected(_join(arguments), choices=arguments)
    if origin is tuple:
        return Expected("a list of names", "group")
    if annotation is bool:
        return Expected("true or false", "flag")
    if annotation in (int, float):
        return Expected(_describe_number(annotation, metadata), "number")
    if annotation is str:
        longest = _get_bound(metadata, "max_length")
        return Expected(f"text of 1 to {longest} characters" if longest else "text")
    return Expected("a mapping", "group")


def _is_no_literal(annotation: Any) -> bool:
    origin: Any = get_origin(annotation)
    return origin is not Literal


def _describe_number(annotation: type, metadata: list[Any]) -> str:
    name = "a whole number" if annotation is int else "a number"
    low, above, high = (_get_bound(metadata, bound) for bound in ("ge", "gt", "le"))
    if high is None or high >= _UNBOUNDED:
        above = low - 1 if above is None and low is not None else above
        return name if above is None else f"{name} above {above}"
    return (
        f"{name} above {above}, at most {high}" if low is None else f"{name} from {low} to {high}"
    )


def _get_bound(metadata: list[Any], name: str) -> Any:
    return next((getattr(item, name) for item in metadata if hasattr(item, name)), None)


def _join(words: tuple[str, ...]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def suggest_value(expected: Expected, value: object, shown: str) -> str:
    """What the user probably meant by a wrong value; empty if that is unclear."""
    if isinstance(value, str) and (suggestion := suggest_name(value, expected.choices)):
        return suggestion
    if expected.kind == "text" and isinstance(value, bool | int | float):
        return f'put it in quotes: "{shown}"'
    if expected.kind == "flag" and isinstance(value, str) and value.lower() in _FLAGS:
        return f"write {_FLAGS[value.lower()]}"
    if expected.kind in ("number", "flag") and isinstance(value, str):
        plain = resolve_plain(value)
        if not isinstance(plain, str) and plain is not None:
            return f"write it without quotes: {value}"
    return ""


@dataclass(frozen=True, slots=True)
class EntryType:
    """What may follow a name: nothing, a mapping (`section`), or the value of its field `short`.

    A name with `alone` can also be written without settings.
    """

    description: str
    section: type[BaseModel] | None = None
    short: str | None = None
    alone: bool = True

    def describe_settings(self) -> str:
        """A description of the settings; the type must have some."""
        assert self.section is not None
        if self.short:
            return get_expected(self.section.model_fields[self.short]).text
        return "a mapping of " + ", ".join(self.section.model_fields)


@dataclass(frozen=True, slots=True)
class ListEntry:
    """A valid item; `settings` is None for a name without settings."""

    word: str
    settings: BaseModel | None = None


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in a field, and its path; with `at_key` the key is wrong, not its value."""

    path: KeyPath
    message: str
    suggestion: str = ""
    at_key: bool = False

    def under(self, *parent: str | int) -> "FieldError":
        """The same error with a path that starts at `parent`."""
        return replace(self, path=(*parent, *self.path))


def list_entry_errors(value: Json, types: Mapping[str, EntryType]) -> Iterator[FieldError]:
    """The errors in the whole list; none for a value that is not a list."""
    for number, item in enumerate(value if isinstance(value, list) else ()):
        entry = read_entry(item, types)
        for error in entry if isinstance(entry, list) else ():
            yield error.under(number)


def read_entries(items: tuple[Json, ...], types: Mapping[str, EntryType]) -> tuple[ListEntry, ...]:
    """All items of a list without errors (`list_entry_errors`); ValueError otherwise."""
    entries = []
    for item in items:
        entry = read_entry(item, types)
        if isinstance(entry, list):
            raise ValueError(entry[0].message)
        entries.append(entry)
    return tuple(entries)


def read_entry(value: Json, types: Mapping[str, EntryType]) -> ListEntry | list[FieldError]:
    """The item, or all of its errors."""
    if isinstance(value, str):
        return _read_name(value, types)
    if not isinstance(value, dict) or not value:
        return [FieldError((), f"expected a name or `name: …`, not {_show(value)}")]
    name = next(iter(value))
    if name not in types:
        return [_make_unknown_name_error((name,), name, types)]
    section = types[name].section
    if len(value) > 1:
        second = list(value)[1]
        message = f"an item has one name, and {quoted(second)} is a second one"
        return [FieldError((second,), message, "start a new item with it: `- name`", at_key=True)]
    if section is None:
        return [FieldError((name,), f"{name} takes no settings", f"write `{name}` alone")]
    return _read_settings(name, value[name], types[name], section)


def _read_name(name: str, types: Mapping[str, EntryType]) -> ListEntry | list[FieldError]:
    entry_type = types.get(name)
    if entry_type is None:
        return [_make_unknown_name_error((), name, types)]
    if not entry_type.alone:
        suggestion = f"write `{name}: …`: {entry_type.describe_settings()}"
        return [FieldError((), f"{name} needs settings", suggestion)]
    return ListEntry(name, entry_type.section() if entry_type.section else None)


def _read_settings(
    name: str, value: Json, entry_type: EntryType, section: type[BaseModel]
) -> ListEntry | list[FieldError]:
    if isinstance(value, dict):
        settings = value
    elif value is None and entry_type.alone:
        settings = {}
    elif entry_type.short is not None:
        settings = {entry_type.short: value}
    else:
        message = f"{name} must be {entry_type.describe_settings()}, not {_show(value)}"
        return [FieldError((name,), message)]
    try:
        return ListEntry(name, section.model_validate(settings))
    except ValidationError as error:
        is_spelled_out = isinstance(value, dict)
        paths = {key: (name, key) if is_spelled_out else (name,) for key in settings}
        return list(_explain(error, section, settings, name, paths))


def _explain(
    error: ValidationError,
    section: type[BaseModel],
    settings: Mapping[str, Json],
    name: str,
    paths: Mapping[str, KeyPath],
) -> Iterator[FieldError]:
    reported: set[str] = set()
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        if not detail["loc"]:  # a rule about several fields
            message = str(detail["msg"]).removeprefix("Value error, ")
            yield FieldError((name,), f"{name}: {message}", at_key=True)
            continue
        key = str(detail["loc"][0])
        if key in reported:
            continue
        reported.add(key)
        if detail["type"] == "missing" and len(detail["loc"]) == 1:
            yield FieldError((name,), f"{name} lacks {key}", f"add `{key}: …`", at_key=True)
        elif key not in section.model_fields:
            known = f"known here: {', '.join(section.model_fields)}"
            suggestion = suggest_name(key, section.model_fields, known)
            if is_secret_field(key):
                suggestion = "keep it in the environment"
            message = f"unknown key {quoted(key)} under {name}"
            yield FieldError(paths.get(key, ()), message, suggestion, at_key=True)
        elif isinstance(settings.get(key), dict):
            inner = str(detail["loc"][-1])
            message = f"{name}.{key}: the value of {quoted(inner)} is wrong"
            path = (*paths[key], inner)
            yield FieldError(path, message, f"`{key}` is written as at the top level")
        else:
            expected, value = get_expected(section.model_fields[key]), settings.get(key)
            shown = _show(value)
            message = f"{key} must be {expected.text}, not {shown}"
            suggestion = suggest_value(expected, value, shown)
            yield FieldError(paths.get(key, (name,)), message, suggestion)


def _make_unknown_name_error(
    path: KeyPath, name: str, types: Mapping[str, EntryType]
) -> FieldError:
    suggestion = suggest_name(name, types, f"known here: {', '.join(types)}")
    return FieldError(path, f"unknown name {quoted(name)}", suggestion, at_key=bool(path))


def _show(value: Json) -> str:
    match value:
        case str():
            return quoted(value)
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case list():
            return "a list"
        case dict():
            return "a mapping"
    return str(value)
