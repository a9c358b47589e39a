"""Prepares prompts for a model trained on data that a plan prepared, and decodes its answers."""

from collections.abc import Mapping

from ftops.data.fixes.fix import TextFix
from ftops.data.fixes.texts import EncodeLabels, invert_labels
from ftops.data.plans.runner import build_fix
from ftops.records import DataPlan

# fixes of completions, and fixes that `get_separator_and_stop` and `get_label_map` cover
_NOT_FOR_PROMPTS = frozenset(
    {
        "add-leading-space",
        "add-separator",
        "add-stop",
        "encode-labels",
        "lowercase-completions",
        "remove-completion-prefix",
        "replace-separator",
        "replace-stop",
        "normalize-labels",
    }
)


def prepare_prompt(plan: DataPlan, prompt: str) -> str:
    """The prompt with the fixes of the plan: with its separator, without its prefix."""
    for step in plan.steps:
        fix = build_fix(step)
        if isinstance(fix, TextFix):
            prompt = fix.prepare_prompt(prompt)
    return prompt


def get_separator_and_stop(plan: DataPlan) -> tuple[str, str | None]:
    """The separator that prompts end with, and the stop sequence of completions."""
    separator, stop = "", None
    for step in plan.steps:
        separator = str(step.values.get("separator", separator))
        value = step.values.get("stop", stop)
        stop = None if value is None else str(value)
    return separator, stop


def get_label_map(plan: DataPlan | None) -> Mapping[str, str]:
    """A mapping of the stripped answer of a model to its label."""
    for step in plan.steps if plan else ():
        fix = build_fix(step)
        if isinstance(fix, EncodeLabels):
            return invert_labels(fix.labels("labels"))
    return {}


def list_prompt_steps(plan: DataPlan | None) -> list[str]:
    """The codes of the steps that change a prompt besides its separator."""
    return [
        step.code
        for step in (plan.steps if plan else ())
        if step.code not in _NOT_FOR_PROMPTS and isinstance(build_fix(step), TextFix)
    ]
