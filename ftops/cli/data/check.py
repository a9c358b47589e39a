"""`ftops data check`: reads data in any supported format and reports problems."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

import typer
from rich.console import RenderableType
from rich.text import Text

from ftops import __version__
from ftops.cli.command import command
from ftops.cli.data.files import check_is_file
from ftops.cli.data.next_steps import render_next_steps, suggest_after_check
from ftops.cli.data.options import (
    Moderate,
    NearDuplicates,
    Pii,
    Processes,
    Reading,
    Sarif,
    SendYes,
    Sources,
    Strict,
    Target,
    Task,
    Validation,
    WordListFile,
    check_task,
    parse_target,
)
from ftops.cli.environment import get_home, read_environ
from ftops.cli.errors import KNOWN_ERROR
from ftops.cli.factory import open_provider
from ftops.cli.output import Mode, NotConfirmed, Output, clean, render_json
from ftops.clock import Clock, SystemClock
from ftops.data.check_runner import run_checks
from ftops.data.check_set import CheckResult, CheckSet
from ftops.data.checks.check import DataTarget
from ftops.data.checks.classes import SMALL, compare_classes
from ftops.data.checks.moderation import check_moderation
from ftops.data.checks.size import FEW
from ftops.data.findings import Finding, Severity, count_severity
from ftops.data.leakage import check_drift, check_leaks
from ftops.data.plans.planner import can_prepare
from ftops.data.profile import DatasetProfile
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import Source, open_source
from ftops.data.sarif import render_sarif
from ftops.data.screening.moderation import ModerationCache, Moderator
from ftops.data.screening.word_list import NO_WORDS, read_word_list
from ftops.errors import ProviderError
from ftops.files import write_atomic
from ftops.providers.registry import find_address, require_moderation
from ftops.records import Json, ProviderSettings

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.ADVICE: "cyan"}
_ORDER = list(Severity)
_SHOWN_CLASSES = 5
_REPORT_MODE = 0o644


@dataclass(slots=True)
class CheckedSource:
    """A source with its check result."""

    source: Source
    verdict: CheckResult
    findings: tuple[Finding, ...]

    def ordered(self) -> list[Finding]:
        """The findings, worst first."""
        return sorted(self.findings, key=lambda found: _ORDER.index(found.severity))


def finish_check(
    out: Output,
    examined: Sequence[CheckedSource],
    following: Iterable[Sequence[str]],
    *,
    strict: bool,
) -> None:
    """Print the findings and the next commands; exits with 1 if the data is not usable."""
    bad = [one for one in examined if _is_bad(one, strict)]
    out.finish(
        {"ok": not bad, "files": [_to_json(one, strict) for one in examined]},
        essential=[f"{one.source.name}: {found.code}" for one in bad for found in one.ordered()],
        human=lambda: chain(_render(examined, strict), render_next_steps(following)),
    )
    if bad:
        raise typer.Exit(KNOWN_ERROR)


def write_sarif(path: Path, examined: Sequence[CheckedSource]) -> None:
    """Write the findings of all sources as SARIF."""
    found = [(one.source.name, one.source.unit, one.ordered()) for one in examined]
    text = render_json(render_sarif(found, __version__))
    write_atomic(path, text.encode() + b"\n", mode=_REPORT_MODE)


def _is_bad(one: CheckedSource, strict: bool) -> bool:
    worst = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    return any(found.severity in worst for found in one.findings)


def _to_json(one: CheckedSource, strict: bool) -> Json:
    verdict = one.verdict
    return {
        "file": one.source.name,
        "format": one.source.format.value,
        "unit": one.source.unit,
        "inferred": list(one.source.inferred),
        "ok": not _is_bad(one, strict),
        "rows": verdict.rows,
        "row_format": verdict.format.value if verdict.format else None,
        "task": verdict.task,
        "task_inferred": verdict.task_inferred,
        "classes": None if verdict.classes is None else dict(verdict.classes),
        "separator": verdict.separator or None,
        "stop": verdict.stop or None,
        "prompt_characters": verdict.prompt_chars,
        "completion_characters": verdict.completion_chars,
        "longest_characters": verdict.longest_chars,
        "auto_epochs": verdict.auto_epochs,
        "auto_batch_size": verdict.auto_batch,
        "findings": [
            {
                "code": found.code,
                "severity": found.severity.value,
                "message": found.message,
                "count": found.count,
                "locations": list(found.places),
                "advice": found.advice,
                "fix": found.fix,
            }
            for found in one.ordered()
        ],
    }


def _render(examined: Sequence[CheckedSource], strict: bool) -> Iterator[RenderableType]:
    for number, one in enumerate(examined):
        if number:
            yield ""
        yield from _render_one(one, strict)


def _render_one(one: CheckedSource, strict: bool) -> Iterator[RenderableType]:
    verdict = one.verdict
    yield Text(one.source.name, "bold")
    if one.source.inferred:
        yield Text(f"  read as    {', '.join(one.source.inferred)}")
    shape = f" of {verdict.format}" if verdict.format else ""
    yield Text(f"  rows       {verdict.rows:,}{shape}")
    if verdict.rows:
        guessed = " (inferred; override with --task)" if verdict.task_inferred else ""
        yield Text(f"  task       {verdict.task}{_say_classes(verdict)}{guessed}")
    for name, mark in (("separator", verdict.separator), ("stop", verdict.stop)):
        if mark:
            yield Text(f"  {name:<10} {mark!r}")
    if verdict.auto_epochs:
        batch = f", batches of {verdict.auto_batch}" if verdict.auto_batch else ""
        yield Text(f'  "auto"     {_say_epochs(verdict.auto_epochs)}{batch} (estimated)')
    for found in one.ordered():
        yield ""
        head = Text(f"{found.severity:<8}", _STYLES[found.severity])
        yield head.append(found.code, "bold").append(f"  {clean(found.message)}", "none")
        if found.places:
            yield Text(f"        {_say_places(found, one.source.unit)}")
        yield Text(f"        do: {found.advice}")
    yield ""
    yield _say_end(one, strict)


def _say_epochs(epochs: int) -> str:
    return "1 epoch" if epochs == 1 else f"{epochs} epochs"


def _say_classes(verdict: CheckResult) -> str:
    if not verdict.classes:
        return ""
    shown = [f"{label!r} x {count:,}" for label, count in verdict.classes.items()]
    more = f", and {len(shown) - _SHOWN_CLASSES} more" if len(shown) > _SHOWN_CLASSES else ""
    return f", {len(shown)} classes: {', '.join(shown[:_SHOWN_CLASSES])}{more}"


def _say_places(found: Finding, unit: str) -> str:
    numbers = ", ".join(map(str, found.places))
    name = unit if len(found.places) == 1 else f"{unit}s"
    return f"{name} {numbers}{', …' if found.count > len(found.places) else ''}"


def _say_end(one: CheckedSource, strict: bool) -> Text:
    counts = [
        f"{number} {severity}{'s' if number > 1 and severity is not Severity.ADVICE else ''}"
        for severity in _ORDER
        if (number := count_severity(one.findings, severity))
    ]
    if not counts:
        return Text("No problems found.", "green")
    if _is_bad(one, strict):
        return Text(f"Not usable: {', '.join(counts)}.", "red")
    return Text(f"Usable: {', '.join(counts)}.", "green")


_REMARK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Moderation:
    """The provider that moderates the texts, and the host that they are sent to."""

    settings: ProviderSettings
    host: str

    @property
    def destination(self) -> str:
        return f"{self.settings.type} ({self.host})"


def prepare_moderation(
    out: Output, files: Iterable[str], provider: str, *, yes: bool
) -> Moderation:
    """Check the preconditions of `--moderate` before any file is read.

    Raises ProviderError for a provider without a moderation endpoint, NotConfirmed without a
    terminal, and DatasetError for standard input, which would be read twice.
    """
    settings = ProviderSettings(type=provider)
    require_moderation(settings)
    check_is_file(*map(Path, files))
    address = find_address(settings)
    host = urlsplit(address.get_base_url(settings, read_environ())).netloc if address else ""
    if not yes and not _is_interactive(out):
        raise NotConfirmed(
            f"nothing was sent: not a terminal, cannot confirm sending the texts to {host}",
            hint="Pass --yes to send them without confirmation, or omit --moderate.",
        )
    return Moderation(settings, host)


def add_moderation(
    out: Output,
    moderation: Moderation,
    examined: list[CheckedSource],
    files: Iterable[str],
    options: ReadOptions,
    *,
    yes: bool,
) -> None:
    """Add the moderation findings of the provider to those of each file."""
    if not yes:
        _ask(moderation, examined)
    with _open_moderator(out, moderation) as moderator:
        try:
            for one, name in zip(examined, files, strict=True):
                again = open_source(Path(name), options)
                one.findings = (*one.findings, *check_moderation(again, moderator.judge))
        except ProviderError:
            if moderator.sent:
                out.info(
                    f"moderation: {_say_texts(moderator.sent)} checked; results are cached:"
                    " run the same command again to continue"
                )
            raise
        out.info(f"moderation: {_say_texts(moderator.sent)} sent to {moderation.destination}")


def _say_texts(count: int) -> str:
    return "1 text was" if count == 1 else f"{count:,} texts were"


def _is_interactive(out: Output) -> bool:
    return out.mode is Mode.HUMAN and sys.stdin.isatty()


def _ask(moderation: Moderation, examined: list[CheckedSource]) -> None:
    """Return when the user agrees that the texts leave this machine."""
    characters = sum(one.verdict.prompt_chars + one.verdict.completion_chars for one in examined)
    rows = sum(one.verdict.rows for one in examined)
    names = ", ".join(one.source.name for one in examined)
    question = (
        f"Send the texts of {names} ({rows:,} rows, {characters:,} characters) to"
        f" {moderation.destination} for moderation?"
    )
    try:
        agreed = typer.confirm(clean(question), err=True)
    except typer.Abort:  # Ctrl-C or end of input
        agreed = False
    if not agreed:
        raise NotConfirmed(
            "nothing was sent", hint="Omit --moderate to check on this machine only."
        )


@contextlib.contextmanager
def _open_moderator(out: Output, moderation: Moderation) -> Iterator[Moderator]:
    with open_provider(moderation.settings) as provider:
        verdicts = ModerationCache(get_home(), f"{provider.account} {provider.moderation_model}")
        progress = Progress(out.info, SystemClock())
        yield Moderator(provider.moderate, verdicts, progress.sent)


class Progress:
    """Prints the number of sent texts at intervals."""

    def __init__(self, say: Callable[[str], None], clock: Clock) -> None:
        self._say = say
        self._clock = clock
        self._said_s = clock.monotonic_s()

    def sent(self, texts: int) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._said_s >= _REMARK_EVERY_S:
            self._said_s = now_s
            self._say(f"moderation: {_say_texts(texts)} sent so far")


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What is checked, for which target, and how the findings are reported."""

    target_name: Target = None
    task: Task = None
    validation: Validation = None
    pii: Pii = False
    near_duplicates: NearDuplicates = False
    word_list: WordListFile = None
    moderate: Moderate = False
    yes: SendYes = False
    strict: Strict = False
    sarif: Sarif = None
    processes: Processes = None


@command(
    "data check",
    examples=[
        "ftops data check train.jsonl",
        "ftops data check train.csv --prompt '{question} ->' --completion answer",
        "ftops data check train.xlsx --sheet Labels --for local/ada --strict",
        "ftops data check train.jsonl --pii",
        "ftops data check train.jsonl --moderate --yes",
        "ftops data check - --json < train.jsonl",
    ],
)
def check(out: Output, files: Sources, *, reading: Reading, options: CheckOptions) -> None:
    """Check data in any supported format and report problems.

    Exits with 1 on errors (with --strict, also on warnings).
    """
    read_options = reading.to_read_options()
    target, wanted_task = parse_target(options.target_name), check_task(options.task)
    requested = {
        "pii": options.pii,
        "near-duplicates": options.near_duplicates,
        "word-list": options.word_list,
        "validation": options.validation,
    }
    asked = [name for name, value in requested.items() if value]
    names = [*files, *([options.validation] if options.validation else [])]
    moderation: Moderation | None = None
    if options.yes and not options.moderate:
        out.info("note: --yes has no effect without --moderate")
    if options.moderate:
        provider = target.provider if options.target_name else "openai"
        moderation = prepare_moderation(out, names, provider, yes=options.yes)
    check_source = partial(
        run_checks,
        asked=asked,
        processes=options.processes,
        environ=read_environ(),
        token_limit=target.token_limit,
        words=read_word_list(options.word_list) if options.word_list else NO_WORDS,
    )
    examined = _examine_all(
        names, read_options, check_source, target, wanted_task, compared=bool(options.validation)
    )
    if moderation:
        add_moderation(out, moderation, examined, names, read_options, yes=options.yes)
    if options.sarif:
        write_sarif(options.sarif, examined)
    alone = files[0] if len(files) == 1 and files[0] != "-" and not options.validation else None
    following = []
    if alone:
        unusable = not examined[0].verdict.rows and not can_prepare(Path(alone), read_options)
        following = suggest_after_check(
            alone, read_options, examined[0].findings, unusable=unusable
        )
    finish_check(out, examined, following, strict=options.strict)


def _examine_all(
    names: Sequence[str],
    options: ReadOptions,
    check_source: Callable[..., CheckSet],
    target: DataTarget,
    task: str | None,
    *,
    compared: bool,
) -> list[CheckedSource]:
    """Check each source; with `compared`, the last one is compared with the others."""
    first: DatasetProfile | None = None
    examined: list[CheckedSource] = []
    examinations: list[CheckSet] = []
    for name in names:
        path = None if name == "-" else Path(name)
        source = open_source(path, options, stdin=sys.stdin.buffer)
        examination = check_source(source, like=first)
        first = first or examination.profile
        verdict = examination.get_result(target, task=task, unit=source.unit)
        examined.append(CheckedSource(source, verdict, verdict.findings))
        if compared:  # otherwise its data per row is released
            examinations.append(examination)
    if compared:
        _compare_with_validation(examined, examinations)
    return examined


def _compare_with_validation(examined: list[CheckedSource], examinations: list[CheckSet]) -> None:
    """Add the findings of comparing the training data with the validation data, the last source."""
    *training, held_out = examined
    training_only = {FEW.code, SMALL.code}  # row counts matter for training only
    held_out.findings = tuple(one for one in held_out.findings if one.code not in training_only)
    for one, known in zip(training, examinations, strict=False):
        more = compare_classes(one.verdict.classes, held_out.verdict.classes)
        one.findings = (*one.findings, *more)
        leaks = check_leaks(
            known,
            examinations[-1],
            name=one.source.name,
            unit=held_out.source.unit,
        )
        drift = check_drift(known, examinations[-1])
        held_out.findings = (*held_out.findings, *leaks, *drift)
