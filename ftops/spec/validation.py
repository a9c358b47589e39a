"""Validates a job file: converts pydantic's errors to readable problems, and checks rules.

Each rule between fields is one function. Rules read the plain values, so that they report problems
even if other fields are wrong; they ignore values of a wrong type, which the model reports.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ftops.records import Json
from ftops.spec.evaluate import list_evaluation_errors
from ftops.spec.export import EXPORT_TYPES, MAX_EXPORTS
from ftops.spec.located_values import Values
from ftops.spec.model import OWN_METADATA, JobSpec
from ftops.spec.notify import OUTCOMES, NotifySpec
from ftops.spec.problem import KeyPath, ProblemReport, quoted
from ftops.spec.provider import KnownProvider, ProviderSpec
from ftops.spec.secret import is_secret_field
from ftops.spec.section import (
    EntryType,
    Expected,
    FieldError,
    Section,
    get_expected,
    list_entry_errors,
    read_entry,
    suggest_value,
)
from ftops.text import find_nearest

_MAX_GUESSES = 100
_METADATA = Expected("text of at most 512 characters, under a key of 1 to 64")
# The entry types of each list, by the list's path.
_ITEMS: Mapping[KeyPath, Expected] = {
    ("hyperparameters", "classification_betas"): Expected(
        "a number above 0, at most 100", "number"
    ),
    ("notify", "on"): Expected("success, failure or stall", choices=OUTCOMES),
    ("notify", "command"): Expected("text of 1 to 4096 characters"),
}


def validate(
    values: Values, report: ProblemReport, providers: Mapping[str, KnownProvider]
) -> JobSpec | None:
    """The values as a `JobSpec`, or None; adds each problem once to `report`.

    The file may have the sections of its own provider, one of `providers`.
    """
    spec = None
    job = values.value if isinstance(values.value, dict) else {}
    sections, errors = _read_sections(values, providers)
    fields = {key: value for key, value in job.items() if key in JobSpec.model_fields}
    details: list[Any] = [
        {"type": "extra_forbidden", "loc": (key,)} for key in job if key not in {*fields, *sections}
    ]
    try:
        spec = JobSpec.model_validate({**fields, **sections})
    except ValidationError as error:
        details += error.errors(include_url=False, include_context=False, include_input=False)
    reported = _explain(details, values, report)
    for wrong in (*errors, *chain.from_iterable(rule(values) for rule in RULES)):
        if wrong.path not in reported and not values.is_invalid(wrong.path):
            span = values.span(wrong.path, key=wrong.at_key)
            hidden = values.hide_variables(wrong, wrong.path)
            report.add(span, hidden.message, hidden.suggestion)
    return spec


def _read_sections(
    values: Values, providers: Mapping[str, KnownProvider]
) -> tuple[dict[str, dict[str, Json]], list[FieldError]]:
    """The sections that only one provider knows, without defaults, and their errors."""
    job = values.value if isinstance(values.value, dict) else {}
    own = values.find("provider", "type") or values.find("provider")
    is_current = values.find("provider", "protocol") in (None, "current")
    sections: dict[str, dict[str, Json]] = {}
    errors: list[FieldError] = []
    for provider, entry in providers.items():
        for name in entry.sections.keys() & job:
            sections[name] = {}
            if provider != own or not is_current:
                message = f"only the provider {provider} reads {name}"
                errors.append(FieldError((name,), message, "remove it", at_key=True))
                continue
            item = read_entry({name: job[name]}, {name: EntryType("", entry.sections[name]())})
            if isinstance(item, list):
                errors += item
            elif item.settings is not None:
                sections[name] = item.settings.model_dump(mode="json", exclude_defaults=True)
    return sections, errors


def _explain(details: list[Any], values: Values, report: ProblemReport) -> set[KeyPath]:
    """Add the errors of the model to `report`; returns their paths."""
    reported: set[KeyPath] = set()
    missing: list[KeyPath] = []
    guesses: set[KeyPath] = set()
    unknowns = 0
    for detail in details:
        path = _to_path(detail["loc"], values)
        if path[:1] == ("export",) or path == ("evaluate", "keep"):
            continue  # reported by a rule, item by item
        unknown = detail["type"] == "extra_forbidden"
        if path in reported or values.is_invalid(path[:-1] if unknown else path):
            continue
        if detail["type"] == "too_short" and any(other[:-1] == path for other in reported):
            continue  # invalid items do not count
        reported.add(path)
        if detail["type"] == "missing":
            missing.append(path)
        elif unknown:
            unknowns += 1  # a search takes time, and the report does not show all problems
            guess = (
                _find_similar_field(str(path[-1]), path[:-1]) if unknowns <= _MAX_GUESSES else None
            )
            _report_unknown_key(path, guess, values, report)
            guesses.update([guess] if guess else [])
        else:
            _report_wrong_value(path, values, report)
    for path in missing:
        if path not in guesses:
            message = f"{_label(path)} is missing"
            report.add(values.span(path[:-1]), message, f"add `{path[-1]}: …`")
    return reported


def find_field(path: KeyPath) -> FieldInfo | None:
    """The field of the model at `path`."""
    section: type[Section] | None = JobSpec
    field: FieldInfo | None = None
    for key in path:
        if section is None or not isinstance(key, str):
            return None
        field = section.model_fields.get(key)
        section = SECTIONS.get(key) if section is JobSpec else None
        if field is None:
            return None
    return field


def _list_sections() -> Iterator[tuple[str, type[Section]]]:
    yield "provider", ProviderSpec
    for name, field in JobSpec.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            yield name, section


SECTIONS: Mapping[str, type[Section]] = dict(_list_sections())
_FIELDS: tuple[tuple[str, KeyPath], ...] = (
    *((name, (name,)) for name in JobSpec.model_fields),
    *((name, (key, name)) for key, section in SECTIONS.items() for name in section.model_fields),
)


def _to_path(loc: tuple[int | str, ...], values: Values) -> KeyPath:
    """The path in the job file of pydantic's location, without the names of union branches."""
    if loc[:1] == ("provider",):
        return loc[:1] + loc[2:3]  # the second item is the branch of the union
    if loc[:1] == ("metadata",):
        return loc[:2]
    if loc[:2] in _ITEMS:
        return loc[:3] if isinstance(values.find(*loc[:3]), int | float | str) else loc[:2]
    return loc[:2]


def _report_unknown_key(
    path: KeyPath, guess: KeyPath | None, values: Values, report: ProblemReport
) -> None:
    """Report an unknown key; `guess` is the path of a similar field."""
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


def _find_similar_field(key: str, parent: KeyPath) -> KeyPath | None:
    """The field with the most similar name: in the section `parent`, else in another one."""
    here = {name: path for name, path in _FIELDS if path[:-1] == parent}
    others = {name: path for name, path in reversed(_FIELDS) if path[:-1] != parent}
    for fields, strict in ((here, True), (others, True), (here, False)):
        if nearest := find_nearest(key, fields, strict=strict):
            return fields[nearest]
    return None


def _report_wrong_value(path: KeyPath, values: Values, report: ProblemReport) -> None:
    expected = _get_expected_at(path)
    value = values.find(*path)
    span = values.span(path)
    if expected.private:
        report.hidden.append(span)
        report.add(span, f"{_label(path)} must be {expected.text}")
        return
    shown = _show(values, path)
    if isinstance(value, str) and len(value) > 40 and expected.kind == "text":
        shown += f" ({len(value)} characters)"
    suggestion = suggest_value(expected, value, shown)
    report.add(span, f"{_label(path)} must be {expected.text}, not {shown}", suggestion)


def _get_expected_at(path: KeyPath) -> Expected:
    field = find_field(path)
    if field is not None:
        return get_expected(field)
    return _ITEMS.get(path[:2], _METADATA)


def _label(path: KeyPath) -> str:
    """The name of the field at `path` in a message."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif not text or path[0] in ("metadata", "provider"):
            text = f"{text}.{key}" if text else str(key)
        else:
            text = str(key)
    return text


Rule = Callable[[Values], Iterator[FieldError]]
_SECTION = "hyperparameters"


def classification_options_need_the_metrics(values: Values) -> Iterator[FieldError]:
    if values.find(_SECTION, "compute_classification_metrics") not in (None, False):
        return
    names = ("n_classes", "positive_class", "betas")
    for name in (f"classification_{name}" for name in names):
        if values.find(_SECTION, name) is not None:
            yield FieldError(
                (_SECTION, name),
                f"{name} has no effect without compute_classification_metrics: true",
                "add that line, or remove this one",
                at_key=True,
            )


def classification_metrics_need_their_classes(values: Values) -> Iterator[FieldError]:
    path: KeyPath = (_SECTION, "compute_classification_metrics")
    if values.find(*path) is not True:
        return
    if values.find("validation_file") is None and not values.is_invalid(("validation_file",)):
        yield FieldError(path, "classification metrics need a validation_file", at_key=True)
    n_classes = values.find(_SECTION, "classification_n_classes")
    positive = values.find(_SECTION, "classification_positive_class")
    if positive is None and n_classes in (None, 2):
        yield FieldError(
            path,
            "classification metrics need the classes",
            "add classification_positive_class for two classes,"
            " classification_n_classes for more than two",
            at_key=True,
        )


def positive_class_and_betas_are_for_two_classes(values: Values) -> Iterator[FieldError]:
    n_classes = values.find(_SECTION, "classification_n_classes")
    if not isinstance(n_classes, int) or isinstance(n_classes, bool) or n_classes <= 2:
        return
    for name in ("classification_positive_class", "classification_betas"):
        if values.find(_SECTION, name) is not None:
            yield FieldError(
                (_SECTION, name), f"{name} is for two classes, not {n_classes}", at_key=True
            )


def validation_data_is_other_data(values: Values) -> Iterator[FieldError]:
    validation = values.find("validation_file")
    if isinstance(validation, str) and validation == values.find("training_file"):
        yield FieldError(
            ("validation_file",),
            "the validation file is the training file, so it would not measure generalization",
        )


def metadata_keys_are_free(values: Values) -> Iterator[FieldError]:
    metadata = values.find("metadata")
    for key in metadata if isinstance(metadata, dict) else ():
        if key.startswith(OWN_METADATA):
            message = f"keys starting with {OWN_METADATA} are reserved for ftops"
            yield FieldError(("metadata", key), message, "choose another key", at_key=True)


def system_message_is_for_chats(values: Values) -> Iterator[FieldError]:
    has_system = values.find("prepare", "system") is not None
    if has_system and values.find("prepare", "format") == "completion":
        yield FieldError(
            ("prepare", "system"),
            "completion rows have no system message",
            "write format: chat, or remove this line",
            at_key=True,
        )


def beta_is_for_preferences(values: Values) -> Iterator[FieldError]:
    if values.find(_SECTION, "beta") is not None and values.find("method") != "dpo":
        message = "beta has no effect without method: dpo"
        yield FieldError(
            (_SECTION, "beta"), message, "add that line, or remove this one", at_key=True
        )


def there_is_one_learning_rate(values: Values) -> Iterator[FieldError]:
    multiplier = values.find(_SECTION, "learning_rate_multiplier")
    if values.find(_SECTION, "learning_rate") is not None and multiplier not in (None, "auto"):
        message = "learning_rate replaces learning_rate_multiplier"
        yield FieldError((_SECTION, "learning_rate"), message, "remove one of them", at_key=True)


def evaluations_need_validation_data(values: Values) -> Iterator[FieldError]:
    if values.find("validation_file") is not None or values.is_invalid(("validation_file",)):
        return
    for name in ("eval_every", "early_stopping"):
        if values.find(_SECTION, name) is not None:
            message = f"{name} needs a validation_file"
            yield FieldError(
                (_SECTION, name), message, "add that line, or remove this one", at_key=True
            )


def preferences_are_sent_unchanged(values: Values) -> Iterator[FieldError]:
    if values.find("method") != "dpo":
        return
    for name in ("prompt_loss_weight", "compute_classification_metrics"):
        if values.find(_SECTION, name) not in (None, False):
            yield FieldError(
                (_SECTION, name), f"{name} has no effect with method: dpo", at_key=True
            )
    for name in ("separator", "stop", "format"):
        if values.find("prepare", name) not in (None, "auto"):
            message = f"{name} has no effect with method: dpo, whose rows hold chats"
            yield FieldError(("prepare", name), message, "remove this line", at_key=True)


def notifications_need_a_target(values: Values) -> Iterator[FieldError]:
    section = values.find("notify")
    if not isinstance(section, dict) or not section or set(section) - set(NotifySpec.model_fields):
        return  # the unknown key is reported, and may be a misspelling of the missing one
    if section.get("command") is None and section.get("webhook_url") is None:
        if not any(values.is_invalid(("notify", name)) for name in ("command", "webhook_url")):
            yield FieldError(
                ("notify",), "notify has no target", "add command or webhook_url", at_key=True
            )
    elif section.get("webhook_url") is not None and section.get("webhook_secret_env") is None:
        yield FieldError(
            ("notify", "webhook_url"),
            "a webhook needs a secret that signs its requests",
            "add webhook_secret_env: the variable that holds the secret",
            at_key=True,
        )


def a_webhook_secret_needs_a_webhook(values: Values) -> Iterator[FieldError]:
    named = values.find("notify", "webhook_secret_env") is not None
    if named and values.find("notify", "webhook_url") is None:
        message = "webhook_secret_env has no effect without webhook_url"
        yield FieldError(
            ("notify", "webhook_secret_env"), message, "add that line, or remove this", at_key=True
        )


def notify_env_needs_a_command(values: Values) -> Iterator[FieldError]:
    if values.find("notify", "env") and values.find("notify", "command") is None:
        message = "env has no effect without command"
        yield FieldError(
            ("notify", "env"), message, "add that line, or remove this one", at_key=True
        )


def a_plan_replaces_other_options(values: Values) -> Iterator[FieldError]:
    if values.find("prepare", "plan") is None:
        return
    for name in ("separator", "stop", "prompt", "completion"):
        if values.find("prepare", name) is not None:
            message = f"{name} has no effect beside a plan"
            yield FieldError(
                ("prepare", name), message, "remove this line, or change the plan", at_key=True
            )


def evaluation_entries_are_valid(values: Values) -> Iterator[FieldError]:
    for error in list_evaluation_errors(values.find("evaluate")):
        yield error.under("evaluate")


def export_entries_are_valid(values: Values) -> Iterator[FieldError]:
    items, known = values.find("export"), ", ".join(EXPORT_TYPES)
    if items is None:
        return
    if not isinstance(items, list):
        message = f"export must be a list of {known}, not {_show(values, ('export',))}"
        yield FieldError(("export",), message, "write export: [mlflow]")
        return
    if len(items) > MAX_EXPORTS:
        message = f"export must have at most {MAX_EXPORTS} items"
        yield FieldError(("export",), message)
    seen: list[Json] = []
    for number, item in enumerate(items):
        plain: Json = {item: None} if isinstance(item, str) else item
        if plain in seen:
            path: KeyPath = ("export", number)
            yield FieldError(path, "the same tool with the same settings again")
        seen.append(plain)
    for error in list_entry_errors(items, EXPORT_TYPES):
        yield error.under("export")


def _show(values: Values, path: KeyPath) -> str:
    location = values.locations.get(path)
    return location.shown if location else "nothing"


RULES: tuple[Rule, ...] = (
    classification_options_need_the_metrics,
    classification_metrics_need_their_classes,
    positive_class_and_betas_are_for_two_classes,
    validation_data_is_other_data,
    metadata_keys_are_free,
    system_message_is_for_chats,
    beta_is_for_preferences,
    there_is_one_learning_rate,
    evaluations_need_validation_data,
    preferences_are_sent_unchanged,
    notifications_need_a_target,
    a_webhook_secret_needs_a_webhook,
    notify_env_needs_a_command,
    a_plan_replaces_other_options,
    evaluation_entries_are_valid,
    export_entries_are_valid,
)
