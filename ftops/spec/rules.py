"""What one field of a job file says about another: one function a rule.

Rules look at the plain values, so that they speak up even when other fields are wrong; they say
nothing about values of the wrong type, which the model reports.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ftops.spec.evaluate import find_evaluation_flaws
from ftops.spec.model import OWN_METADATA
from ftops.spec.notify import NotifySpec
from ftops.spec.values import Path, Values


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that does not go with another; `at_key` when its name is the trouble."""

    path: Path
    message: str
    suggestion: str = ""
    at_key: bool = True


Rule = Callable[[Values], Iterator[Conflict]]
_SECTION = "hyperparameters"


def find_conflicts(values: Values) -> Iterator[Conflict]:
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
    path: Path = (_SECTION, "compute_classification_metrics")
    if values.find(*path) is not True:
        return
    if values.find("validation_file") is None and not values.is_broken(("validation_file",)):
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
        if not any(values.is_broken(("notify", name)) for name in ("command", "webhook_url")):
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
    for flaw in find_evaluation_flaws(values.find("evaluate")):
        path: Path = ("evaluate", *flaw.path)
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
