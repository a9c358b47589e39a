"""Report pages, and the colours of their style sheet."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ftops.reports
from ftops.evaluation.result import CandidateKind, CandidateScore, Evaluation, Note, NoteKind
from ftops.metrics.prediction import Prediction
from ftops.metrics.result import Confusion
from ftops.records import ProviderSettings, RunStatus
from ftops.reports.contents import Contents, build
from ftops.reports.html_report import render_page
from ftops.reports.run_facts import RunFacts
from tests.reports.evaluations import make_evaluation
from tests.reports.sample_runs import NOW, make_run

STYLE = Path(ftops.reports.__file__).with_name("report.css").read_text(encoding="utf-8")
Color = tuple[float, float, float]


def render_rows(predictions: Sequence[Prediction], *, name: str) -> str:
    """A page without charts of a run with these predictions; all its texts are `name`."""
    confusion = Confusion((name, f"{name}2"), ((1, 2, 3), (4, 5, 6)))
    candidates = tuple(
        CandidateScore(label, CandidateKind.TUNED, 9, {}, model=name, confusion=confusion)
        for label in (name, f"{name} again")
    )
    facts = RunFacts(
        run=make_run(name=name, model=name, job_file=name, fine_tuned_model=name),
        stages=[],
        evaluation=Evaluation(
            name, 9, "accuracy", candidates, notes=(Note(NoteKind.METRIC, detail=name),)
        ),
        predictions={candidate.name: predictions for candidate in candidates},
        job_text=name,
        missing=[name],
    )
    return render_page(build([facts], NOW))


def render_bare() -> str:
    """A page of a run that failed at its start."""
    run = make_run(status=RunStatus.FAILED, error="no credit", job_id=None, fine_tuned_model=None)
    return render_page(build([RunFacts(run, [])], NOW))


def make_local(model: str) -> Contents:
    """A run of the built-in engine on this base model."""
    run = make_run(provider=ProviderSettings("local"), model=model)
    return build([RunFacts(run, [])], NOW)


def make_sliced() -> Contents:
    """A run whose evaluation has a slice of 40 rows."""
    evaluation = make_evaluation()
    part = replace(evaluation, name="language: de", rows=40)
    return build([RunFacts(make_run(), [], evaluation=replace(evaluation, parts=(part,)))], NOW)


def without_surrogates(value: object) -> object:
    """The value without surrogates in its texts, which JSON cannot encode."""
    if isinstance(value, list):
        return [without_surrogates(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "ignore").decode()
    return value


def read_dark_themes() -> tuple[dict[str, Color], dict[str, Color]]:
    """The dark colours of the button, and those of the system preference."""
    _, first, second = _read_blocks()[:3]
    return first, second


def read_colors(theme: str) -> dict[str, Color]:
    """The colours of a theme by name, from 0 to 1."""
    return _read_blocks()[0 if theme == "light" else 1]


def list_shades() -> list[tuple[str, float]]:
    """The shades of a confusion matrix: colour and share."""
    shades = re.findall(r"color-mix\(in srgb, var\(--(\w+)\) (\d+)%", STYLE)
    assert len(shades) == 16
    return [(name, int(share) / 100) for name, share in shades]


def mix(color: Color, other: Color, share: float) -> Color:
    """Mix a share of the first colour with the second."""
    red, green, blue = (share * a + (1 - share) * b for a, b in zip(color, other, strict=True))
    return red, green, blue


def contrast(first: Color, other: Color) -> float:
    """The contrast of two colours, from 1 to 21. Source: WCAG 2.2, "contrast ratio"."""
    light, dark = sorted((_luminance(first), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _read_blocks() -> list[dict[str, Color]]:
    blocks = re.findall(r"\{\s*color-scheme:[^}]*\}", STYLE)
    return [
        {name: _parse(value) for name, value in re.findall(r"--(\w+): #(\w{6})", block)}
        for block in blocks
    ]


def _parse(value: str) -> Color:
    red, green, blue = (int(value[start : start + 2], 16) / 255 for start in (0, 2, 4))
    return red, green, blue


def _luminance(color: Color) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
