"""What is wrong with the list `export` of a job file, each at its place."""

from collections.abc import Iterator

from pydantic import ValidationError

from ftops.records import Json
from ftops.spec.export import EXPORT_SECTIONS, MAX_EXPORTS
from ftops.spec.problems import quoted
from ftops.spec.rules import Conflict
from ftops.spec.secrets import is_secret_field
from ftops.spec.section import Section, find_wanted
from ftops.spec.values import Path, Values
from ftops.text import suggest_name

FIELD = "export"
_KNOWN = ", ".join(EXPORT_SECTIONS)


def find_export_problems(values: Values) -> Iterator[Conflict]:
    """Everything that the model refuses there, and what it does not see."""
    items = values.find(FIELD)
    if items is None or values.is_broken((FIELD,)):
        return
    if not isinstance(items, list):
        message = f"export must be a list of {_KNOWN}, not {_show(values, (FIELD,))}"
        yield Conflict((FIELD,), message, "write export: [mlflow]", at_key=False)
        return
    if len(items) > MAX_EXPORTS:
        yield Conflict((FIELD,), f"export names more than {MAX_EXPORTS} tools", at_key=False)
    seen: list[Json] = []
    for number, item in enumerate(items):
        path: Path = (FIELD, number)
        if values.is_broken(path):
            continue
        plain: Json = {item: None} if isinstance(item, str) else item
        if plain in seen:
            yield Conflict(path, "this tool is named twice, with the same settings", at_key=False)
        seen.append(plain)
        yield from _look_at(values, path, plain)


def _look_at(values: Values, path: Path, item: Json) -> Iterator[Conflict]:
    if not isinstance(item, dict) or len(item) != 1:
        message = f"export must hold names of tools, not {_show(values, path)}"
        yield Conflict(path, message, f"write {_KNOWN}, or `- mlflow: {{…}}`", at_key=False)
        return
    ((name, settings),) = item.items()
    section = EXPORT_SECTIONS.get(name)
    named = (*path, name) if (*path, name) in values.places else path
    if section is None:
        suggestion = suggest_name(name, EXPORT_SECTIONS, f"known here: {_KNOWN}")
        yield Conflict(named, f"no tool {quoted(name)} is known", suggestion)
    elif settings is not None and not values.is_broken(named):
        if not isinstance(settings, dict):
            message = f"{name} must be a mapping of settings, not {_show(values, named)}"
            yield Conflict(named, message, f"known there: {_list_fields(section)}", at_key=False)
        else:
            yield from _look_at_settings(values, named, section, settings)


def _look_at_settings(
    values: Values, path: Path, section: type[Section], settings: dict[str, Json]
) -> Iterator[Conflict]:
    try:
        section.model_validate(settings)
    except ValidationError as error:
        for key in dict.fromkeys(str(detail["loc"][0]) for detail in error.errors()):
            place = (*path, key)
            field = section.model_fields.get(key)
            if values.is_broken(place):
                continue
            if field is None:
                yield _refuse_key(place, key, section)
                continue
            wanted = find_wanted(field)
            message = f"{key} must be {wanted.text}, not {_show(values, place)}"
            suggestion = suggest_name(str(settings[key]), wanted.choices)
            yield Conflict(place, message, suggestion, at_key=False)


def _refuse_key(place: Path, key: str, section: type[Section]) -> Conflict:
    suggestion = suggest_name(key, section.model_fields, f"known here: {_list_fields(section)}")
    if is_secret_field(key):
        suggestion = "keep it in the environment, in the variable that the tool itself reads"
    return Conflict(place, f"unknown key {quoted(key)} under {section.LABEL}", suggestion)


def _list_fields(section: type[Section]) -> str:
    return ", ".join(section.model_fields)


def _show(values: Values, path: Path) -> str:
    place = values.places.get(path)
    return place.shown if place else "nothing"
