"""How long a report of many long runs takes, in each of its forms, and how large it is.

10 runs with 10,000 steps each, each with its results file on disk and an evaluation of 1,000 rows
by three candidates. What is measured is the whole of `ftops report` but the start of Python: from
the ledger and the folders to the last byte, with the drawing library loaded in it.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import orjson

from ftops.clock import SystemClock
from ftops.evaluation.result import CandidateKind, render_predictions
from ftops.evaluation.scoring import CandidatePredictions, choose_default_metrics, evaluate
from ftops.ledger.ledger import Ledger
from ftops.metrics.prediction import Prediction
from ftops.records import ProviderSettings, Run, RunId, RunStatus
from ftops.reports.contents import Contents, build
from ftops.runs.report_data import ReportLoader

RUNS, STEPS, ROWS = 10, 10_000, 1_000
TARGET_S = 3.0
TARGET_BYTES = 2_000_000
_NOW = datetime(2026, 11, 22, tzinfo=UTC)


def make_runs(ledger: Ledger, home: Path) -> list[Run]:
    """The runs in the ledger, with what they would have left in their folders."""
    runs = []
    for number in range(RUNS):
        run = Run(
            id=RunId(f"run-{number}"),
            key=f"{number}",
            name=f"news-topics-{number}",
            status=RunStatus.SUCCEEDED,
            provider=ProviderSettings("openai"),
            model="gpt-4.1-nano-2025-04-14",
            spec={"training_file": "train.jsonl"},
            job_file="news-topics.yaml",
            created_at=_NOW,
            updated_at=_NOW,
            fine_tuned_model=f"ft:gpt-4.1-nano:acme::{number}",
        )
        runs.append(ledger.add_run(run, if_absent=False))
        _fill(home / "runs" / run.id, number)
    return runs


def _fill(folder: Path, number: int) -> None:
    (folder / "predictions").mkdir(parents=True)
    (folder / "results.csv").write_text(make_results(number), encoding="utf-8")
    rows = [
        json.dumps({"prompt": f"What is row {row} about? ->", "completion": f" {row % 5}"})
        for row in range(ROWS)
    ]
    (folder / "train.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    kinds = (CandidateKind.TUNED, CandidateKind.BASE, CandidateKind.NEAREST)
    candidates = [
        CandidatePredictions(kind.value, kind, _answer(7 - place))
        for place, kind in enumerate(kinds)
    ]
    evaluation = evaluate(
        "test.jsonl", candidates, choose_default_metrics(candidates[0].predictions)
    )
    (folder / "evaluation.json").write_bytes(orjson.dumps(evaluation.to_json()))
    for one, slug in zip(candidates, ("tuned", "base", "nearest-neighbour"), strict=True):
        text = render_predictions(one.predictions)
        (folder / "predictions" / f"{slug}.jsonl").write_text(text, encoding="utf-8")


def make_results(number: int) -> str:
    """A results file of 10,000 steps; each number gives another one."""
    lines = ["step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"]
    for step in range(1, STEPS + 1):
        measured = f"{3 / step + 0.2:.5f},0.9" if step % 20 == 0 else ","
        lines.append(f"{step},{3 / step + (step * 7919 + number) % 97 / 500:.5f},0.95,{measured}")
    return "\n".join(lines) + "\n"


def _answer(wrong_every: int) -> list[Prediction]:
    """Answers of which one in so many is wrong."""
    return [
        Prediction(
            row,
            f"What is row {row} about? ->",
            f"{row % 5}",
            f"{(row + (row % wrong_every == 0)) % 5}",
        )
        for row in range(1, ROWS + 1)
    ]


def _render_page(contents: Contents) -> int:
    from ftops.reports.html_report import render_page

    return len(render_page(contents).encode())


def _render_markdown(contents: Contents) -> int:
    from ftops.reports.markdown_report import render_markdown

    return len(render_markdown(contents).encode())


def _render_picture(contents: Contents) -> int:
    from ftops.reports.png_report import render_picture

    return len(render_picture(contents))


def main() -> int:
    """Print times and sizes beside their targets; 1 when one is missed."""
    missed = False
    forms: dict[str, Callable[[Contents], int]] = {
        "HTML": _render_page,
        "Markdown": _render_markdown,
        "PNG": _render_picture,
    }
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        with closing(Ledger(home / "ledger.db", SystemClock())) as ledger:
            runs = make_runs(ledger, home)
            began = time.perf_counter()
            gathering = ReportLoader(ledger, home, SystemClock())
            contents = build([gathering.gather(run) for run in runs], _NOW)
            gathered_s = time.perf_counter() - began
        print(f"{RUNS} runs of {STEPS:,} steps: read in {gathered_s:.2f} s")
        for form, render in forms.items():
            began = time.perf_counter()
            size = render(contents)
            taken_s = gathered_s + time.perf_counter() - began
            target = "" if form == "PNG" else f"target {TARGET_S:.0f} s"
            ok = taken_s <= TARGET_S and size <= TARGET_BYTES
            verdict = "" if form == "PNG" else "ok" if ok else "MISSED"
            missed |= verdict == "MISSED"
            print(f"{form:10}{taken_s:8.2f} s {size / 1000:8,.0f} kB   {target}   {verdict}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
