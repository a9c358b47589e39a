"""`ftops schema`: what a job file may say, for editors and other programs."""

import json

from ftops.cli.command import command
from ftops.cli.output import Output
from ftops.spec.schema import render_schema


@command("schema", examples=["ftops schema > job.schema.json"])
def schema(out: Output) -> None:
    """Print the JSON Schema of the job file."""
    text = render_schema()
    out.finish_text(json.loads(text), text)
