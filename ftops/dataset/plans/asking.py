"""How a model is asked that learned of rows which a plan made ready, and what its answers mean."""

from collections.abc import Mapping

from ftops.dataset.fixes.classes import LabelMap, turn_round
from ftops.dataset.fixes.protocol import TextFix
from ftops.dataset.plans.treatment import build_fix
from ftops.records import DataPlan


def prepare_question(plan: DataPlan, prompt: str) -> str:
    """The prompt as the plan makes those of the rows: with its separator, without its prefix."""
    for step in plan.steps:
        fix = build_fix(step)
        if isinstance(fix, TextFix):
            prompt = fix.change_question(prompt)
    return prompt


def find_marks(plan: DataPlan) -> tuple[str, str | None]:
    """The separator that prompts end with, and the stop sequence of completions."""
    separator, stop = "", None
    for step in plan.steps:
        separator = str(step.values.get("separator", separator))
        found = step.values.get("stop", stop)
        stop = None if found is None else str(found)
    return separator, stop


def find_labels(plan: DataPlan | None) -> Mapping[str, str]:
    """For what a model answers, without outer blanks, the label that it stands for."""
    for step in plan.steps if plan else ():
        fix = build_fix(step)
        if isinstance(fix, LabelMap):
            return turn_round(fix.labels("labels"))
    return {}
