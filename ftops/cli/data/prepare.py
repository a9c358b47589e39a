"""`ftops data prepare`: proposes fixes, asks for confirmation, writes the rows and the plan."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.data.files import (
    OutputPaths,
    buffer_input,
    check_output_paths,
    choose_output_paths,
    name_source,
    open_buffered,
)
from ftops.cli.data.options import OneSource, Pii, Reading, Target, Task, check_task, parse_target
from ftops.cli.data.prepare_view import finish, finish_plan, render_fix
from ftops.cli.data.sample import AnnotationFile, apply_annotations, get_annotation_path
from ftops.cli.environment import read_environ
from ftops.cli.output import Mode, NotConfirmed, Output
from ftops.data.checks.registry import list_rules
from ftops.data.fixes.registry import FIX_PARAMS
from ftops.data.plans.planner import (
    ConfirmFix,
    PlanOptions,
    Proposal,
    check_codes,
    draft_plan,
    dry_run,
    make_opener,
    open_for_plan,
    write_prepared,
)
from ftops.data.plans.runner import FixStats, PlanResult
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import Source
from ftops.errors import DatasetError
from ftops.files import write_atomic
from ftops.records import DataPlan
from ftops.spec.plan_file import read_plan, render_plan

OutFile = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="OUT", help="Output file; default: FILE.prepared.jsonl."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Apply every fix without confirmation.")]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="CODE", help="Apply only this fix, or the fixes of this check."),
]
Skip = Annotated[
    list[str] | None,
    typer.Option("--skip", metavar="CODE", help="Skip this fix, or the fixes of this check."),
]
PlanFile = Annotated[Path | None, typer.Option("--plan", metavar="PLAN", help="Apply this plan.")]
PlanOut = Annotated[
    Path | None,
    typer.Option("--plan-out", metavar="PLAN", help="Plan file to write; default: OUT.plan.yaml."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite OUT and its plan.")]
MaxCharacters = Annotated[
    int | None,
    typer.Option(
        "--max-characters", min=1, metavar="N", help="Drop rows of more than N characters."
    ),
]
Redact = Annotated[
    bool,
    typer.Option("--redact", help="Replace personal data and secrets with placeholders."),
]
IgnoreAnnotations = Annotated[
    bool, typer.Option("--ignore-annotations", help="Ignore annotations stored next to FILE.")
]
_MODE = 0o644


@dataclass(frozen=True, slots=True)
class PreparationOptions:
    """Which fixes are applied, how they are confirmed, and where rows and plan are written."""

    output: OutFile = None
    yes: Yes = False
    only: Only = None
    skip: Skip = None
    plan: PlanFile = None
    plan_out: PlanOut = None
    force: Force = False
    target_name: Target = None
    task: Task = None
    max_characters: MaxCharacters = None
    pii: Pii = False
    redact: Redact = False
    annotations: AnnotationFile = None
    ignore_annotations: IgnoreAnnotations = False

    def to_plan_options(self) -> PlanOptions:
        """The options of the plan. Raises UsageError for unknown codes or names."""
        rules = [rule.code for rule in list_rules()]
        check_codes(self.only or (), rules, "--only")
        check_codes(self.skip or (), rules, "--skip")
        return PlanOptions(
            target=parse_target(self.target_name),
            task=check_task(self.task),
            only=self.only or (),
            skip=self.skip or (),
            most_characters=self.max_characters,
            environ=read_environ(),
            pii=self.pii,
            redact=self.redact,
        )

    def reject_with_plan(self) -> None:
        """Raise DatasetError for options that have no effect with a plan."""
        options = {
            "--only": self.only,
            "--skip": self.skip,
            "--for": self.target_name,
            "--task": self.task,
            "--max-characters": self.max_characters,
            "--plan-out": self.plan_out,
            "--pii": self.pii,
            "--redact": self.redact,
            "--annotations": self.annotations,
        }
        for flag, value in options.items():
            if value:
                raise DatasetError(
                    f"{flag} has no effect with --plan", hint="Omit it, or change the plan."
                )


@dataclass(frozen=True, slots=True)
class _Preparation:
    """The file to prepare, how it is read, and the output paths; `path` has its content."""

    file: str
    path: Path
    read_options: ReadOptions
    targets: OutputPaths


@command(
    "data prepare",
    examples=[
        "ftops data prepare train.jsonl -o ready.jsonl",
        "ftops data prepare train.csv --prompt '{question}' --completion answer --yes",
        "ftops data prepare train.jsonl --yes --skip encode-labels --skip null-value",
        "ftops data prepare train.jsonl --redact --skip phone-number",
        "ftops data prepare tomorrow.csv -o ready.jsonl --plan ready.jsonl.plan.yaml",
    ],
)
def prepare(out: Output, file: OneSource, *, options: PreparationOptions, reading: Reading) -> None:
    """Fix a data file: preview each fix, confirm, write OUT.

    A plan is written next to OUT; it repeats the same fixes on other data. Without a terminal and
    without --yes this is a dry run. FILE is never changed. Rows annotated drop in `ftops data
    sample` are dropped; while rows are annotated fix, nothing is written.
    """
    read_options = reading.to_read_options()
    plan_options = options.to_plan_options()
    asking = out.mode is Mode.HUMAN and sys.stdin.isatty() and file != "-"
    if options.plan is not None:
        options.reject_with_plan()
    writing = options.yes or options.plan is not None or asking
    targets = choose_output_paths(file, options.output, options.plan_out, writing=writing)
    if writing:
        check_output_paths(file, targets, options.plan, force=options.force)
    with buffer_input(file) as path:
        preparation = _Preparation(file, path, read_options, targets)
        if options.plan:
            _repeat(out, preparation, options.plan)
            return
        if not options.ignore_annotations:
            source = open_buffered(path, file, read_options)
            marked = apply_annotations(out, source, file, options.annotations, writing=writing)
            plan_options = replace(plan_options, marked=marked)
        _make(out, preparation, plan_options, yes=options.yes, asking=asking)


def _make(
    out: Output,
    preparation: _Preparation,
    plan_options: PlanOptions,
    *,
    yes: bool,
    asking: bool,
) -> None:
    open_path = make_opener(preparation.path, preparation.read_options)

    def open_again() -> Source:
        return name_source(open_path(), preparation.file)

    source, targets = open_again(), preparation.targets
    ask = None
    if asking and not yes:
        out.show(f"{source.name}: read as {', '.join(source.inferred)}")
        ask = create_confirm(out, source.unit)
    found = draft_plan(open_again, preparation.read_options, plan_options, ask)
    if yes or asking:
        outcome = write_both(open_again(), found.plan, targets)
        finish(out, source, found, outcome, targets.rows, targets.plan, shown=ask is not None)
    else:
        outcome = dry_run(open_again(), found.plan)
        finish(out, source, found, outcome, None, None, shown=False)


def write_both(source: Source, plan: DataPlan, targets: OutputPaths) -> PlanResult:
    """Write the rows and the plan; neither if the rows cannot be written."""
    outcome = write_prepared(source, plan, targets.rows)
    write_atomic(targets.plan, render_plan(plan).encode(), mode=_MODE)
    return outcome


def _repeat(out: Output, preparation: _Preparation, plan_file: Path) -> None:
    plan = read_plan(plan_file, FIX_PARAMS)
    file, targets = preparation.file, preparation.targets
    if file != "-" and get_annotation_path(Path(file)).is_file():
        out.info(f"{get_annotation_path(Path(file))}: ignored; the plan names the rows to drop")
    opened = open_for_plan(preparation.path, preparation.read_options, plan)
    source = name_source(opened, file)
    outcome = write_prepared(source, plan, targets.rows)
    finish_plan(out, source, plan, outcome, targets.rows)


def create_confirm(out: Output, unit: str) -> ConfirmFix:
    """A function that shows a fix and asks for confirmation."""

    def ask(proposal: Proposal, stats: FixStats) -> bool:
        """Ask for confirmation, unless an option requested the fix."""
        out.show("")
        for line in render_fix(stats, proposal.reasons, unit):
            out.show(line)
        if proposal.requested:
            return True
        try:
            return typer.confirm("Apply this fix?", default=True, err=True)
        except typer.Abort:
            raise NotConfirmed("nothing was written") from None

    return ask
