"""Arguments and options that several commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ftops.errors import StorageError

JobFile = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The job file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a field of the job file; may be given again."
    ),
]
AllowOutside = Annotated[
    bool,
    typer.Option(
        "--allow-outside",
        help="Let the job file name files outside its own folder, also by symbolic links.",
    ),
]
AllowPrivate = Annotated[
    bool, typer.Option("--allow-private", help="Send rows in which keys or tokens were found.")
]
RunRef = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="Run id (or its first 4 letters or more), job id, model or job name."
    ),
]
ProviderName = Annotated[
    str | None,
    typer.Option("--provider", metavar="NAME", help="local (the default), openai, …"),
]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="Another server that speaks OpenAI's protocol."),
]
ApiKeyEnv = Annotated[
    str | None,
    typer.Option("--api-key-env", metavar="VAR", help="The environment variable with the key."),
]
JUnitFile = Annotated[
    Path | None,
    typer.Option("--junit", metavar="FILE", help="Write the requirements as JUnit XML."),
]
MarkdownFile = Annotated[
    Path | None,
    typer.Option("--markdown", metavar="FILE", help="Write a summary for a CI job as Markdown."),
]
TrustHost = Annotated[
    list[str] | None,
    typer.Option(
        "--trust-host",
        metavar="HOST",
        help="Approve that the key which the job file names goes to this host.",
    ),
]
AllowHttp = Annotated[
    bool, typer.Option("--allow-http", help="Approve plain http to another machine, too.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class ApprovalOptions:
    """What the command line approves; `ftops trust` approves it once and for all."""

    trust_host: TrustHost = None
    allow_http: AllowHttp = False


NO_APPROVALS = ApprovalOptions()


def check_output_path(target: Path, source: Path | None) -> None:
    """StorageError where nothing can be written at `target`, or it is what is read."""
    if target.is_dir():
        raise StorageError(f"{target}: is a folder", hint="Name a file in it.")
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise StorageError(
            f"{target}: is the file that is read, and would be lost", hint="Name another file."
        )
