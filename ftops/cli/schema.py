"""`ftops schema`: what a job file may say, for editors and other programs."""

import json

import typer

from ftops.cli.command import command
from ftops.cli.output import Output


def add_to(app: typer.Typer) -> None:
    command(app, "schema", examples=["ftops schema > job.schema.json"])(schema)


def schema(out: Output) -> None:
    """Print the JSON Schema of the job file."""
    from ftops.spec.schema import render_schema

    text = render_schema()
    out.finish_text(json.loads(text), text)
