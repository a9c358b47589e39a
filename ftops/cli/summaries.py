"""Files for CI: JUnit XML and Markdown, of an evaluation."""

from pathlib import Path

from ftops.evaluation.result import Evaluation
from ftops.files import write_atomic
from ftops.reports.junit import render_junit
from ftops.reports.markdown import render_markdown


def write_summaries(
    evaluation: Evaluation, name: str, junit: Path | None, markdown: Path | None
) -> None:
    """Write those that were asked for; StorageError when the disk refuses."""
    for path, text in (
        (junit, render_junit(evaluation, name=name) if junit else ""),
        (markdown, render_markdown(evaluation, name=name) if markdown else ""),
    ):
        if path is not None:
            write_atomic(path, text.encode("utf-8", "replace"), mode=0o644)
