"""What to do next in the workbench: check, prepare, split, baseline, init, run."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import RenderableType

from ftops.cli.format import heading, quote, render_commands, render_path
from ftops.cli.output import clean
from ftops.data.findings import Finding, Severity
from ftops.data.reading.options import ReadOptions, options_to_plan

_INIT_TAKES = ("prompt", "completion", "layout")
_SPLIT = "_train"


def render_next(commands: Iterable[Sequence[str]]) -> Iterator[RenderableType]:
    """The commands to go on with, if there are any, such that they can be copied."""
    lines = [quote("ftops", *words) for words in commands]
    if lines:
        yield heading("Next")
        yield from render_commands(lines)


def name_path(path: Path) -> str:
    """A path as a command names it."""
    return clean(render_path(path))


def follow_check(
    file: str, options: ReadOptions, found: Sequence[Finding], *, hopeless: bool = False
) -> list[list[str]]:
    """After a check: fix what can be fixed; of data that is good, go on.

    `hopeless` data has no usable row, and no fix makes one.
    """
    if hopeless:
        return []
    flags = _make_flags(options_to_plan(options).items())
    fixes = {finding.fix for finding in found if finding.fix}
    if fixes:
        pii = ["--pii"] if "redact" in fixes else []
        return [["data", "prepare", file, *flags, *pii]]
    if any(finding.severity is Severity.ERROR for finding in found):
        return []
    return [["data", "split", file, *flags], _init(file, options)]


def follow_split(training: Path, validation: Path) -> list[list[str]]:
    """After a split: what is reached without a model, and the job file."""
    names = [name_path(training), name_path(validation)]
    return [["data", "baseline", *names], *follow_baseline(training, validation)]


def follow_baseline(
    training: Path, validation: Path, options: ReadOptions | None = None
) -> list[list[str]]:
    """After a baseline: the job file, which needs to know of the plan."""
    plan = find_plan_file(training)
    named = ["--plan", name_path(plan)] if plan else []
    words = _init(name_path(training), options or ReadOptions())
    return [[*words, "--validation", name_path(validation), *named]]


def find_plan_file(data: Path) -> Path | None:
    """The plan beside a data file, or beside the one that it is the training part of."""
    whole = data.with_name(f"{data.stem.removesuffix(_SPLIT)}{data.suffix}")
    for path in (data, whole):
        plan = path.with_name(f"{path.name}.plan.yaml")
        if plan.is_file():
            return plan
    return None


def _init(file: str, options: ReadOptions) -> list[str]:
    said = options_to_plan(options)
    taken = _make_flags((name, said[name]) for name in _INIT_TAKES if name in said)
    return ["init", file, *taken]


def _make_flags(said: Iterable[tuple[str, str]]) -> list[str]:
    return [part for name, text in said for part in (f"--{name}", text)]
