"""`ftops data`: the workbench for training data; no job file, no key and no network is needed."""

import typer

from ftops.cli.command import make_app
from ftops.cli.data import (
    baseline,
    check,
    convert,
    diff,
    prepare,
    preview,
    sample,
    split,
    stats,
)


def add_to(app: typer.Typer) -> None:
    group = make_app("Check, mend, split and read training data.")
    for part in (check, prepare, convert, split, baseline, stats, preview, sample, diff):
        part.add_to(group)
    app.add_typer(group, name="data")
