"""Puts what pydantic found into plain words: one problem a field, at its place in the job file."""

from collections.abc import Iterator, Mapping

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ftops.spec.model import JobSpec
from ftops.spec.notify import OUTCOMES
from ftops.spec.problems import Report, quoted
from ftops.spec.provider import ProviderSpec
from ftops.spec.secrets import is_secret_field
from ftops.spec.section import Section, Wanted, find_wanted
from ftops.spec.suggesting import suggest
from ftops.spec.values import Path, Values
from ftops.text import find_nearest

_MAX_GUESSES = 100
_METADATA = Wanted("text of at most 512 characters, under a key of 1 to 64")
# What each item of a list must be, by the list's path.
_ITEMS: Mapping[Path, Wanted] = {
    ("hyperparameters", "classification_betas"): Wanted("a number above 0, at most 100", "number"),
    ("notify", "on"): Wanted("success, failure or stall", choices=OUTCOMES),
    ("notify", "command"): Wanted("text of 1 to 4096 characters"),
}


def explain(error: ValidationError, values: Values, report: Report) -> set[Path]:
    """Add to `report` what `error` means; returns the paths that were spoken about."""
    told: set[Path] = set()
    lacking: list[Path] = []
    guesses: set[Path] = set()
    unknowns = 0
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        path = _path(detail["loc"], values)
        if path[:1] == ("export",):
            continue  # `export_problems.py` looks at it
        unknown = detail["type"] == "extra_forbidden"
        if path in told or values.is_broken(path[:-1] if unknown else path):
            continue
        if detail["type"] == "too_short" and any(other[:-1] == path for other in told):
            continue  # its items are bad, and do not count
        told.add(path)
        if detail["type"] == "missing":
            lacking.append(path)
        elif unknown:
            unknowns += 1  # looking for a likeness takes time, and only so many are shown
            guess = _near_field(str(path[-1]), path[:-1]) if unknowns <= _MAX_GUESSES else None
            _explain_key(path, guess, values, report)
            guesses.update([guess] if guess else [])
        else:
            _explain_value(path, values, report)
    for path in lacking:
        if path not in guesses:
            message = f"{_label(path)} is missing"
            report.add(values.span(path[:-1]), message, f"add `{path[-1]}: …`")
    return told


def find_field(path: Path) -> FieldInfo | None:
    """The field of the model that `path` names, if there is one."""
    section: type[Section] | None = JobSpec
    found: FieldInfo | None = None
    for key in path:
        if section is None or not isinstance(key, str):
            return None
        found = section.model_fields.get(key)
        section = SECTIONS.get(key) if section is JobSpec else None
        if found is None:
            return None
    return found


def _find_sections() -> Iterator[tuple[str, type[Section]]]:
    yield "provider", ProviderSpec
    for name, field in JobSpec.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield name, kind


SECTIONS: Mapping[str, type[Section]] = dict(_find_sections())
_FIELDS: tuple[tuple[str, Path], ...] = (
    *((name, (name,)) for name in JobSpec.model_fields),
    *((name, (key, name)) for key, section in SECTIONS.items() for name in section.model_fields),
)


def _path(loc: tuple[int | str, ...], values: Values) -> Path:
    """The path in the job file that pydantic's location means: without its names for branches."""
    if loc[:1] == ("provider",):
        return loc[:1] + loc[2:3]  # the second is the branch of the union
    if loc[:1] == ("metadata",):
        return loc[:2]
    if loc[:2] in _ITEMS:
        return loc[:3] if isinstance(values.find(*loc[:3]), int | float | str) else loc[:2]
    return loc[:2]


def _explain_key(path: Path, guess: Path | None, values: Values, report: Report) -> None:
    """Report an unknown key; `guess` is the path that was probably meant."""
    key = str(path[-1])
    section = SECTIONS[str(path[0])] if len(path) > 1 else JobSpec
    where = f" under {section.LABEL}" if len(path) > 1 else ""
    if is_secret_field(key):
        suggestion = "name the variable that holds the key: provider: {type: …, api_key_env: …}"
    elif guess is None:
        suggestion = f"known here: {', '.join(section.model_fields)}"
    elif len(guess) == len(path):
        suggestion = f"did you mean '{guess[-1]}'?"
    else:
        place = f"under {guess[0]}" if len(guess) > 1 else "at the top level"
        suggestion = f"did you mean '{guess[-1]}' {place}?"
    report.add(values.span(path, key=True), f"unknown key {quoted(key)}{where}", suggestion)


def _near_field(key: str, parent: Path) -> Path | None:
    """The field whose name is nearest to `key`: in the section `parent`, else in another."""
    here = {name: path for name, path in _FIELDS if path[:-1] == parent}
    others = {name: path for name, path in reversed(_FIELDS) if path[:-1] != parent}
    for fields, strict in ((here, True), (others, True), (here, False)):
        if nearest := find_nearest(key, fields, strict=strict):
            return fields[nearest]
    return None


def _explain_value(path: Path, values: Values, report: Report) -> None:
    wanted = _wanted(path)
    value = values.find(*path)
    span = values.span(path)
    if wanted.private:
        report.hidden.append(span)
        report.add(span, f"{_label(path)} must be {wanted.text}")
        return
    place = values.places.get(path)
    shown = place.shown if place else "nothing"
    if isinstance(value, str) and len(value) > 40 and wanted.kind == "text":
        shown += f" ({len(value)} characters)"
    suggestion = suggest(wanted, value, shown)
    report.add(span, f"{_label(path)} must be {wanted.text}, not {shown}", suggestion)


def _wanted(path: Path) -> Wanted:
    field = find_field(path)
    if field is not None:
        return find_wanted(field)
    return _ITEMS.get(path[:2], _METADATA)


def _label(path: Path) -> str:
    """How a message names the field at `path`."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif not text or path[0] in ("metadata", "provider"):
            text = f"{text}.{key}" if text else str(key)
        else:
            text = str(key)
    return text
