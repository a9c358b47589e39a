"""Puts what pydantic found into plain words: one problem a field, at its place in the job file."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ftops.records import Json
from ftops.spec.evaluate import list_evaluation_errors
from ftops.spec.export import EXPORT_SECTIONS, MAX_EXPORTS
from ftops.spec.model import OWN_METADATA, JobSpec
from ftops.spec.notify import OUTCOMES, NotifySpec
from ftops.spec.problem import KeyPath, ProblemReport, quoted
from ftops.spec.provider import ProviderSpec
from ftops.spec.secret import is_secret_field
from ftops.spec.section import Expected, Section, get_expected, suggest_value
from ftops.spec.values import Values
from ftops.text import find_nearest, suggest_name

_MAX_GUESSES = 100
_METADATA = Expected("text of at most 512 characters, under a key of 1 to 64")
# What each item of a list must be, by the list's path.
_ITEMS: Mapping[KeyPath, Expected] = {
    ("hyperparameters", "classification_betas"): Expected(
        "a number above 0, at most 100", "number"
    ),
    ("notify", "on"): Expected("success, failure or stall", choices=OUTCOMES),
    ("notify", "command"): Expected("text of 1 to 4096 characters"),
}


def validate(values: Values, report: ProblemReport) -> JobSpec | None:
    """The values as a `JobSpec`, or None; adds each problem once to `report`."""
    spec = None
    reported: set[KeyPath] = set()
    try:
        spec = JobSpec.model_validate(values.value)
    except ValidationError as error:
        reported = _explain(error, values, report)
    for conflict in (*_find_conflicts(values), *_find_export_problems(values)):
        if conflict.path not in reported and not values.is_invalid(conflict.path):
            span = values.span(conflict.path, key=conflict.at_key)
            report.add(span, conflict.message, conflict.suggestion)
    return spec


def _explain(error: ValidationError, values: Values, report: ProblemReport) -> set[KeyPath]:
    """Add to `report` what `error` means; returns the paths that were spoken about."""
    reported: set[KeyPath] = set()
    missing: list[KeyPath] = []
    guesses: set[KeyPath] = set()
    unknowns = 0
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        path = _path(detail["loc"], values)
        if path[:1] == ("export",):
            continue  # `export_problems.py` looks at it
        unknown = detail["type"] == "extra_forbidden"
        if path in reported or values.is_invalid(path[:-1] if unknown else path):
            continue
        if detail["type"] == "too_short" and any(other[:-1] == path for other in reported):
            continue  # its items are bad, and do not count
        reported.add(path)
        if detail["type"] == "missing":
            missing.append(path)
        elif unknown:
            unknowns += 1  # looking for a likeness takes time, and only so many are shown
            guess = _near_field(str(path[-1]), path[:-1]) if unknowns <= _MAX_GUESSES else None
            _explain_key(path, guess, values, report)
            guesses.update([guess] if guess else [])
        else:
            _explain_value(path, values, report)
    for path in missing:
        if path not in guesses:
            message = f"{_label(path)} is missing"
            report.add(values.span(path[:-1]), message, f"add `{path[-1]}: …`")
    return reported


def find_field(path: KeyPath) -> FieldInfo | None:
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
_FIELDS: tuple[tuple[str, KeyPath], ...] = (
    *((name, (name,)) for name in JobSpec.model_fields),
    *((name, (key, name)) for key, section in SECTIONS.items() for name in section.model_fields),
)


def _path(loc: tuple[int | str, ...], values: Values) -> KeyPath:
    """The path in the job file that pydantic's location means: without its names for branches."""
    if loc[:1] == ("provider",):
        return loc[:1] + loc[2:3]  # the second is the branch of the union
    if loc[:1] == ("metadata",):
        return loc[:2]
    if loc[:2] in _ITEMS:
        return loc[:3] if isinstance(values.find(*loc[:3]), int | float | str) else loc[:2]
    return loc[:2]


def _explain_key(
    path: KeyPath, guess: KeyPath | None, values: Values, report: ProblemReport
) -> None:
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


def _near_field(key: str, parent: KeyPath) -> KeyPath | None:
    """The field whose name is nearest to `key`: in the section `parent`, else in another."""
    here = {name: path for name, path in _FIELDS if path[:-1] == parent}
    others = {name: path for name, path in reversed(_FIELDS) if path[:-1] != parent}
    for fields, strict in ((here, True), (others, True), (here, False)):
        if nearest := find_nearest(key, fields, strict=strict):
            return fields[nearest]
    return None


def _explain_value(path: KeyPath, values: Values, report: ProblemReport) -> None:
    wanted = _wanted(path)
    value = values.find(*path)
    span = values.span(path)
    if wanted.private:
        report.hidden.append(span)
        report.add(span, f"{_label(path)} must be {wanted.text}")
        return
    place = values.locations.get(path)
    shown = place.shown if place else "nothing"
    if isinstance(value, str) and len(value) > 40 and wanted.kind == "text":
        shown += f" ({len(value)} characters)"
    suggestion = suggest_value(wanted, value, shown)
    report.add(span, f"{_label(path)} must be {wanted.text}, not {shown}", suggestion)


def _wanted(path: KeyPath) -> Expected:
    field = find_field(path)
    if field is not None:
        return get_expected(field)
    return _ITEMS.get(path[:2], _METADATA)


def _label(path: KeyPath) -> str:
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


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that does not go with another; `at_key` when its name is the trouble."""

    path: KeyPath
    message: str
    suggestion: str = ""
    at_key: bool = True


Rule = Callable[[Values], Iterator[Conflict]]
_SECTION = "hyperparameters"


def _find_conflicts(values: Values) -> Iterator[Conflict]:
    """Everything that the rules have to say."""
    for rule in RULES:
        yield from rule(values)


def classification_options_need_the_metrics(values: Values) -> Iterator[Conflict]:
    if values.find(_SECTION, "compute_classification_metrics") not in (None, False):
        return
    names = ("n_classes", "positive_class", "betas")
    for name in (f"classification_{name}" for name in names):
        if values.find(_SECTION, name) is not None:
            yield Conflict(
                (_SECTION, name),
                f"{name} has no effect without compute_classification_metrics: true",
                "add that line, or remove this one",
            )


def classification_metrics_need_their_classes(values: Values) -> Iterator[Conflict]:
    path: KeyPath = (_SECTION, "compute_classification_metrics")
    if values.find(*path) is not True:
        return
    if values.find("validation_file") is None and not values.is_invalid(("validation_file",)):
        yield Conflict(path, "classification metrics need a validation_file to be measured on")
    n_classes = values.find(_SECTION, "classification_n_classes")
    positive = values.find(_SECTION, "classification_positive_class")
    if positive is None and n_classes in (None, 2):
        yield Conflict(
            path,
            "classification metrics need to know the classes",
            "add classification_positive_class for two classes,"
            " classification_n_classes for more than two",
        )


def positive_class_and_betas_are_for_two_classes(values: Values) -> Iterator[Conflict]:
    n_classes = values.find(_SECTION, "classification_n_classes")
    if not isinstance(n_classes, int) or isinstance(n_classes, bool) or n_classes <= 2:
        return
    for name in ("classification_positive_class", "classification_betas"):
        if values.find(_SECTION, name) is not None:
            yield Conflict((_SECTION, name), f"{name} is for two classes, not {n_classes}")


def validation_data_is_other_data(values: Values) -> Iterator[Conflict]:
    validation = values.find("validation_file")
    if isinstance(validation, str) and validation == values.find("training_file"):
        yield Conflict(
            ("validation_file",),
            "the validation file is the training file: it would measure memory, not learning",
            at_key=False,
        )


def metadata_keys_are_free(values: Values) -> Iterator[Conflict]:
    metadata = values.find("metadata")
    for key in metadata if isinstance(metadata, dict) else ():
        if key.startswith(OWN_METADATA):
            message = f"keys that begin with {OWN_METADATA} are ftops's own"
            yield Conflict(("metadata", key), message, "choose another key")


def system_message_is_for_chats(values: Values) -> Iterator[Conflict]:
    has_system = values.find("prepare", "system") is not None
    if has_system and values.find("prepare", "format") == "completion":
        yield Conflict(
            ("prepare", "system"),
            "completion rows have no system message",
            "write format: chat, or remove this line",
        )


def beta_is_for_preferences(values: Values) -> Iterator[Conflict]:
    if values.find(_SECTION, "beta") is not None and values.find("method") != "dpo":
        message = "beta has no effect without method: dpo"
        yield Conflict((_SECTION, "beta"), message, "add that line, or remove this one")


def preferences_are_sent_as_they_are(values: Values) -> Iterator[Conflict]:
    if values.find("method") != "dpo":
        return
    for name in ("prompt_loss_weight", "compute_classification_metrics"):
        if values.find(_SECTION, name) not in (None, False):
            yield Conflict((_SECTION, name), f"{name} has no effect with method: dpo")
    for name in ("separator", "stop", "format"):
        if values.find("prepare", name) not in (None, "auto"):
            message = f"{name} has no effect with method: dpo, whose rows hold chats"
            yield Conflict(("prepare", name), message, "remove this line")


def notices_need_somebody_to_tell(values: Values) -> Iterator[Conflict]:
    section = values.find("notify")
    if not isinstance(section, dict) or not section or set(section) - set(NotifySpec.model_fields):
        return  # an unknown key is told by itself, and may be the one that is missing
    if section.get("command") is None and section.get("webhook_url") is None:
        if not any(values.is_invalid(("notify", name)) for name in ("command", "webhook_url")):
            yield Conflict(("notify",), "nobody would be told", "add command or webhook_url")
    elif section.get("webhook_url") is not None and section.get("webhook_secret_env") is None:
        yield Conflict(
            ("notify", "webhook_url"),
            "webhooks are signed, and no secret is named",
            "add webhook_secret_env: the variable that holds it",
        )


def a_webhook_secret_is_for_a_webhook(values: Values) -> Iterator[Conflict]:
    named = values.find("notify", "webhook_secret_env") is not None
    if named and values.find("notify", "webhook_url") is None:
        message = "webhook_secret_env has no effect without webhook_url"
        yield Conflict(("notify", "webhook_secret_env"), message, "add that line, or remove this")


def notify_env_is_for_a_command(values: Values) -> Iterator[Conflict]:
    if values.find("notify", "env") and values.find("notify", "command") is None:
        message = "env has no effect without command"
        yield Conflict(("notify", "env"), message, "add that line, or remove this one")


def a_plan_says_it_all(values: Values) -> Iterator[Conflict]:
    if values.find("prepare", "plan") is None:
        return
    for name in ("separator", "stop", "prompt", "completion"):
        if values.find("prepare", name) is not None:
            message = f"{name} has no place beside a plan, which says it"
            yield Conflict(("prepare", name), message, "remove this line, or change the plan")


def evaluation_lists_are_understood(values: Values) -> Iterator[Conflict]:
    for flaw in list_evaluation_errors(values.find("evaluate")):
        path: KeyPath = ("evaluate", *flaw.path)
        yield Conflict(path, flaw.message, flaw.suggestion, at_key=flaw.at_key)


RULES: tuple[Rule, ...] = (
    classification_options_need_the_metrics,
    classification_metrics_need_their_classes,
    positive_class_and_betas_are_for_two_classes,
    validation_data_is_other_data,
    metadata_keys_are_free,
    system_message_is_for_chats,
    beta_is_for_preferences,
    preferences_are_sent_as_they_are,
    notices_need_somebody_to_tell,
    a_webhook_secret_is_for_a_webhook,
    notify_env_is_for_a_command,
    a_plan_says_it_all,
    evaluation_lists_are_understood,
)


FIELD = "export"
_KNOWN = ", ".join(EXPORT_SECTIONS)


def _find_export_problems(values: Values) -> Iterator[Conflict]:
    """Everything that the model refuses there, and what it does not see."""
    items = values.find(FIELD)
    if items is None or values.is_invalid((FIELD,)):
        return
    if not isinstance(items, list):
        message = f"export must be a list of {_KNOWN}, not {_show(values, (FIELD,))}"
        yield Conflict((FIELD,), message, "write export: [mlflow]", at_key=False)
        return
    if len(items) > MAX_EXPORTS:
        yield Conflict((FIELD,), f"export names more than {MAX_EXPORTS} tools", at_key=False)
    seen: list[Json] = []
    for number, item in enumerate(items):
        path: KeyPath = (FIELD, number)
        if values.is_invalid(path):
            continue
        plain: Json = {item: None} if isinstance(item, str) else item
        if plain in seen:
            yield Conflict(path, "this tool is named twice, with the same settings", at_key=False)
        seen.append(plain)
        yield from _look_at(values, path, plain)


def _look_at(values: Values, path: KeyPath, item: Json) -> Iterator[Conflict]:
    if not isinstance(item, dict) or len(item) != 1:
        message = f"export must hold names of tools, not {_show(values, path)}"
        yield Conflict(path, message, f"write {_KNOWN}, or `- mlflow: {{…}}`", at_key=False)
        return
    ((name, settings),) = item.items()
    section = EXPORT_SECTIONS.get(name)
    named = (*path, name) if (*path, name) in values.locations else path
    if section is None:
        suggestion = suggest_name(name, EXPORT_SECTIONS, f"known here: {_KNOWN}")
        yield Conflict(named, f"no tool {quoted(name)} is known", suggestion)
    elif settings is not None and not values.is_invalid(named):
        if not isinstance(settings, dict):
            message = f"{name} must be a mapping of settings, not {_show(values, named)}"
            yield Conflict(named, message, f"known there: {_list_fields(section)}", at_key=False)
        else:
            yield from _look_at_settings(values, named, section, settings)


def _look_at_settings(
    values: Values, path: KeyPath, section: type[Section], settings: dict[str, Json]
) -> Iterator[Conflict]:
    try:
        section.model_validate(settings)
    except ValidationError as error:
        for key in dict.fromkeys(str(detail["loc"][0]) for detail in error.errors()):
            place = (*path, key)
            field = section.model_fields.get(key)
            if values.is_invalid(place):
                continue
            if field is None:
                yield _refuse_key(place, key, section)
                continue
            wanted = get_expected(field)
            message = f"{key} must be {wanted.text}, not {_show(values, place)}"
            suggestion = suggest_name(str(settings[key]), wanted.choices)
            yield Conflict(place, message, suggestion, at_key=False)


def _refuse_key(place: KeyPath, key: str, section: type[Section]) -> Conflict:
    suggestion = suggest_name(key, section.model_fields, f"known here: {_list_fields(section)}")
    if is_secret_field(key):
        suggestion = "keep it in the environment, in the variable that the tool itself reads"
    return Conflict(place, f"unknown key {quoted(key)} under {section.LABEL}", suggestion)


def _list_fields(section: type[Section]) -> str:
    return ", ".join(section.model_fields)


def _show(values: Values, path: KeyPath) -> str:
    place = values.locations.get(path)
    return place.shown if place else "nothing"
