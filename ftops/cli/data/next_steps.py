"""Suggested next commands: check, prepare, split, baseline, init, run."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import RenderableType

from ftops.cli.format import heading, quote, render_commands, render_path
from ftops.cli.output import clean
from ftops.data.findings import Finding, Severity
from ftops.data.reading.options import ReadOptions, options_to_plan

_INIT_TAKES = ("prompt", "completion", "layout")
_SPLIT = "_train"


def render_next_steps(commands: Iterable[Sequence[str]]) -> Iterator[RenderableType]:
    """The suggested commands, quoted for a shell."""
    lines = [quote("ftops", *words) for words in commands]
    if lines:
        yield heading("Next")
        yield from render_commands(lines)


def name_path(path: Path) -> str:
    """The path as an argument of a command."""
    return clean(render_path(path))


def suggest_after_check(
    file: str, options: ReadOptions, found: Sequence[Finding], *, unusable: bool = False
) -> list[list[str]]:
    """Next commands after a check: apply fixes, or continue if there are no errors.

    `unusable` data has no usable row, and no fix makes one usable.
    """
    if unusable:
        return []
    flags = _make_flags(options_to_plan(options).items())
    fixes = {finding.fix for finding in found if finding.fix}
    if fixes:
        pii = ["--pii"] if "redact" in fixes else []
        return [["data", "prepare", file, *flags, *pii]]
    if any(finding.severity is Severity.ERROR for finding in found):
        return []
    return [["data", "split", file, *flags], _init(file, options)]


def suggest_after_split(training: Path, validation: Path) -> list[list[str]]:
    """Next commands after a split: the baseline, and the job file."""
    names = [name_path(training), name_path(validation)]
    return [["data", "baseline", *names], *suggest_after_baseline(training, validation)]


def suggest_after_baseline(
    training: Path, validation: Path, options: ReadOptions | None = None
) -> list[list[str]]:
    """Next command after a baseline: the job file, with the plan."""
    plan = find_plan_file(training)
    named = ["--plan", name_path(plan)] if plan else []
    words = _init(name_path(training), options or ReadOptions())
    return [[*words, "--validation", name_path(validation), *named]]


def find_plan_file(data: Path) -> Path | None:
    """The plan file next to a data file, or next to the file that it was split from."""
    whole = data.with_name(f"{data.stem.removesuffix(_SPLIT)}{data.suffix}")
    for path in (data, whole):
        plan = path.with_name(f"{path.name}.plan.yaml")
        if plan.is_file():
            return plan
    return None


def _init(file: str, options: ReadOptions) -> list[str]:
    given_options = options_to_plan(options)
    taken = _make_flags(
        (name, given_options[name]) for name in _INIT_TAKES if name in given_options
    )
    return ["init", file, *taken]


def _make_flags(given_options: Iterable[tuple[str, str]]) -> list[str]:
    return [part for name, text in given_options for part in (f"--{name}", text)]
