"""What checks of data found, as text, as JSON, and as SARIF."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import typer
from rich.console import RenderableType
from rich.text import Text

from ftops import __version__
from ftops.cli.data.next_steps import render_next
from ftops.cli.errors import KNOWN_ERROR
from ftops.cli.output import Output, clean, render_json
from ftops.data.check_set import CheckResult
from ftops.data.findings import Finding, Severity, count_severity
from ftops.data.reading.source import Source
from ftops.data.sarif import render_sarif
from ftops.files import write_atomic
from ftops.records import Json

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.ADVICE: "cyan"}
_ORDER = list(Severity)
_SHOWN_CLASSES = 5
_REPORT_MODE = 0o644


@dataclass(slots=True)
class Examined:
    """A source with what was found in it."""

    source: Source
    verdict: CheckResult
    findings: tuple[Finding, ...]

    def ordered(self) -> list[Finding]:
        """Findings, the worst first."""
        return sorted(self.findings, key=lambda found: _ORDER.index(found.severity))


def finish_check(
    out: Output, examined: Sequence[Examined], following: Iterable[Sequence[str]], *, strict: bool
) -> None:
    """Print all of it, and the commands that follow; leaves with exit code 1 when there is
    something that forbids the data.
    """
    bad = [one for one in examined if _is_bad(one, strict)]
    out.finish(
        {"ok": not bad, "files": [_to_json(one, strict) for one in examined]},
        essential=[f"{one.source.name}: {found.code}" for one in bad for found in one.ordered()],
        human=lambda: chain(_render(examined, strict), render_next(following)),
    )
    if bad:
        raise typer.Exit(KNOWN_ERROR)


def write_sarif(path: Path, examined: Sequence[Examined]) -> None:
    """Write the findings of all sources as SARIF."""
    found = [(one.source.name, one.source.unit, one.ordered()) for one in examined]
    text = render_json(render_sarif(found, __version__))
    write_atomic(path, text.encode() + b"\n", mode=_REPORT_MODE)


def _is_bad(one: Examined, strict: bool) -> bool:
    worst = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    return any(found.severity in worst for found in one.findings)


def _to_json(one: Examined, strict: bool) -> Json:
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
                "places": list(found.places),
                "advice": found.advice,
                "fix": found.fix,
            }
            for found in one.ordered()
        ],
    }


def _render(examined: Sequence[Examined], strict: bool) -> Iterator[RenderableType]:
    for number, one in enumerate(examined):
        if number:
            yield ""
        yield from _render_one(one, strict)


def _render_one(one: Examined, strict: bool) -> Iterator[RenderableType]:
    verdict = one.verdict
    yield Text(one.source.name, "bold")
    if one.source.inferred:
        yield Text(f"  read as    {', '.join(one.source.inferred)}")
    shape = f" of {verdict.format}" if verdict.format else ""
    yield Text(f"  rows       {verdict.rows:,}{shape}")
    if verdict.rows:
        guessed = " (inferred; --task says otherwise)" if verdict.task_inferred else ""
        yield Text(f"  task       {verdict.task}{_say_classes(verdict)}{guessed}")
    for name, mark in (("separator", verdict.separator), ("stop", verdict.stop)):
        if mark:
            yield Text(f"  {name:<10} {mark!r}")
    if verdict.auto_epochs:
        batch = f", batches of {verdict.auto_batch}" if verdict.auto_batch else ""
        yield Text(f'  "auto"     {_say_epochs(verdict.auto_epochs)}{batch}, as far as is known')
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


def _say_end(one: Examined, strict: bool) -> Text:
    counts = [
        f"{number} {severity}{'s' if number > 1 and severity is not Severity.ADVICE else ''}"
        for severity in _ORDER
        if (number := count_severity(one.findings, severity))
    ]
    if not counts:
        return Text("Nothing to complain about.", "green")
    if _is_bad(one, strict):
        return Text(f"Not usable as it is: {', '.join(counts)}.", "red")
    return Text(f"Usable: {', '.join(counts)}.", "green")
