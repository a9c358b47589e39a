"""Arguments and options that several commands share.

Options that belong together are the fields of a dataclass: a command takes it as one parameter.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ftops.errors import StorageError
from ftops.records import ProviderSettings

JobFile = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The job file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a field of the job file; repeatable."
    ),
]
AllowOutside = Annotated[
    bool,
    typer.Option(
        "--allow-outside",
        help="Allow the job file to name files outside its folder, also through symbolic links.",
    ),
]
AllowPrivate = Annotated[
    bool, typer.Option("--allow-private", help="Send rows although they contain keys or tokens.")
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Return as soon as the job is created at the provider.")
]
Concurrency = Annotated[
    int,
    typer.Option(
        "--concurrency", metavar="N", min=1, max=200, help="Maximum concurrent runs with --all."
    ),
]
New = Annotated[
    bool, typer.Option("--new", help="Start a new run even if one exists for this job file.")
]
Retry = Annotated[
    bool,
    typer.Option(
        "--retry",
        help="Retry a run that failed or was cancelled; follow a job that still runs.",
    ),
]
RunRef = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="Run id (or at least its first 4 letters), job id, model or job name."
    ),
]
ModelRef = Annotated[
    str, typer.Option("--model", "-m", metavar="MODEL", help="Model name, run id or job id.")
]
ModelRefs = Annotated[
    list[str],
    typer.Option(
        "--model", "-m", metavar="MODEL", help="Model name, run id or job id; repeatable."
    ),
]
ProviderName = Annotated[
    str | None,
    typer.Option("--provider", metavar="NAME", help="local (the default), openai, …"),
]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="Another server with an OpenAI-compatible API."),
]
ApiKeyEnv = Annotated[
    str | None,
    typer.Option("--api-key-env", metavar="VAR", help="Environment variable with the API key."),
]
MaxTokens = Annotated[
    int, typer.Option("--max-tokens", min=1, help="Maximum length of the response in tokens.")
]
Temperature = Annotated[
    float, typer.Option("--temperature", min=0, max=2, help="0 means greedy decoding.")
]
TopP = Annotated[float, typer.Option("--top-p", min=0, max=1, help="Nucleus sampling.")]
Stop = Annotated[
    list[str] | None,
    typer.Option("--stop", metavar="TEXT", help="Stop sequence; up to 4."),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Random seed of the sampling.")]
Raw = Annotated[
    bool,
    typer.Option(
        "--raw",
        help="Send the prompt unmodified: no separator, stop sequence, system message or label"
        " mapping.",
    ),
]
JUnitFile = Annotated[
    Path | None,
    typer.Option("--junit", metavar="FILE", help="Write the requirements as JUnit XML."),
]
MarkdownFile = Annotated[
    Path | None,
    typer.Option("--markdown", metavar="FILE", help="Write a summary for CI as Markdown."),
]
TrustHost = Annotated[
    list[str] | None,
    typer.Option(
        "--trust-host",
        metavar="HOST",
        help="Approve sending the key that the job file names to this host.",
    ),
]
AllowHttp = Annotated[
    bool, typer.Option("--allow-http", help="Approve unencrypted http to another machine.")
]
AllowOpenEnded = Annotated[
    bool,
    typer.Option(
        "--allow-open-ended",
        help="Allow a deployment that costs by the hour and that the provider never ends itself.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@dataclass(frozen=True, slots=True)
class ApprovalOptions:
    """The approvals in a command line; `ftops trust` approves permanently."""

    trust_host: TrustHost = None
    allow_http: AllowHttp = False
    allow_open_ended: AllowOpenEnded = False


@dataclass(frozen=True, slots=True)
class JobFileOptions:
    """How a job file is loaded."""

    overrides: Overrides = None
    allow_outside: AllowOutside = False
    allow_private: AllowPrivate = False


@dataclass(frozen=True, slots=True)
class RunOptions(JobFileOptions):
    """How a job file, or each of several, is run."""

    new: New = False
    retry: Retry = False
    detach: Detach = False
    concurrency: Concurrency = 8


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """The provider that a command uses."""

    provider: ProviderName = None
    base_url: BaseUrl = None
    api_key_env: ApiKeyEnv = None

    def find_settings(self) -> ProviderSettings | None:
        """The settings of the provider; None when no option is given."""
        if not (self.provider or self.base_url or self.api_key_env):
            return None
        return ProviderSettings(
            type=self.provider or "openai", base_url=self.base_url, api_key_env=self.api_key_env
        )


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How a model generates its response."""

    max_tokens: MaxTokens = 64
    temperature: Temperature = 0.0
    top_p: TopP = 1.0
    stop: Stop = None
    seed: Seed = None
    raw: Raw = False


@dataclass(frozen=True, slots=True)
class SummaryFiles:
    """Where the results of an evaluation are written for CI."""

    junit: JUnitFile = None
    markdown: MarkdownFile = None


def check_output_path(target: Path, source: Path | None) -> None:
    """StorageError when `target` is a folder or the input file itself."""
    if target.is_dir():
        raise StorageError(f"{target}: is a folder", hint="Name a file in it.")
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise StorageError(
            f"{target}: is the input file and would be lost", hint="Name another file."
        )
