"""What must be reached: a run whose model does not reach it has succeeded, and yet is told so."""

from pathlib import Path

from ftops.errors import RequirementMissed
from ftops.evaluation.keeping import read_evaluation
from ftops.metrics.evaluation import Evaluation
from ftops.records import Run, RunStatus
from ftops.reports.verdicts import say_requirement
from ftops.runs.context import get_run_folder


def check_gate(evaluation: Evaluation) -> None:
    """RequirementMissed, which names each of them, when any is not met."""
    missed = [say_requirement(one) for one in evaluation.requirements if not one.met]
    if missed:
        total = len(evaluation.requirements)
        word = "requirement is" if total == 1 else "requirements are"
        lines = "".join(f"\n  {text}" for text in missed)
        raise RequirementMissed(f"{len(missed)} of {total} {word} not met:{lines}")


def check_run_gate(run: Run, home: Path) -> None:
    """The same for a run that has succeeded; nothing for one that has not, or was not evaluated."""
    if run.status is not RunStatus.SUCCEEDED:
        return
    evaluation = read_evaluation(get_run_folder(home, run.id))
    if evaluation is not None:
        check_gate(evaluation)
