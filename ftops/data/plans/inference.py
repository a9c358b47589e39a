"""How a model is asked that learned of rows which a plan made ready, and what its answers mean."""

from collections.abc import Mapping

from ftops.data.fixes.fix import TextFix
from ftops.data.fixes.texts import EncodeLabels, invert_labels
from ftops.data.plans.runner import build_fix
from ftops.records import DataPlan

# What these do to texts concerns answers, or is told by `get_separator_and_stop` and `find_labels`.
_NOT_OF_QUESTIONS = frozenset(
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
    """The prompt as the plan makes those of the rows: with its separator, without its prefix."""
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
        found = step.values.get("stop", stop)
        stop = None if found is None else str(found)
    return separator, stop


def get_label_map(plan: DataPlan | None) -> Mapping[str, str]:
    """For what a model answers, without outer blanks, the label that it stands for."""
    for step in plan.steps if plan else ():
        fix = build_fix(step)
        if isinstance(fix, EncodeLabels):
            return invert_labels(fix.labels("labels"))
    return {}


def list_prompt_steps(plan: DataPlan | None) -> list[str]:
    """The codes of the steps that may change a prompt in another way than by its separator."""
    return [
        step.code
        for step in (plan.steps if plan else ())
        if step.code not in _NOT_OF_QUESTIONS and isinstance(build_fix(step), TextFix)
    ]
