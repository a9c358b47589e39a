"""Who is told how a run went: the section `notify` of the job file."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from ftops.records import HIDDEN_PATH, Json
from ftops.spec.section import Expected, Section

Outcome: TypeAlias = Literal["success", "failure", "stall"]
OUTCOMES: tuple[Outcome, ...] = ("success", "failure", "stall")
_THIS_MACHINE = r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])"
_URL = rf"^(https://[^\s/?#@]+|http://{_THIS_MACHINE}(:[0-9]{{1,5}})?)(/[^\s?#]*)?$"


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise ValueError("said twice")
    return values


def _sound(url: str) -> str:
    """The address, if a client can make sense of it; ValueError otherwise."""
    parts = urlsplit(url)
    if not parts.hostname or parts.port == 0:
        raise ValueError("no host")
    if parts.path == HIDDEN_PATH:
        raise ValueError("copied from where the path is hidden")
    return url


def hide_path(url: str) -> str:
    """The address of a webhook as it may be shown: its path is a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{HIDDEN_PATH}"


def hide_webhook(text: str, url: str | None) -> str:
    """The text with the path hidden wherever that address stands in it."""
    if url is None or urlsplit(url).path in ("", "/"):
        return text
    return text.replace(url, hide_path(url))


def find_webhook(spec: Mapping[str, Json]) -> str | None:
    """The address of the webhook in a job file that a run keeps as JSON."""
    notify = spec.get("notify")
    url = notify.get("webhook_url") if isinstance(notify, dict) else None
    return url if isinstance(url, str) else None


def hide_in_spec(spec: Mapping[str, Json]) -> dict[str, Json]:
    """A job file that a run keeps as JSON, as it may be shown."""
    shown, url, notify = dict(spec), find_webhook(spec), spec.get("notify")
    if url is not None and isinstance(notify, dict):
        shown["notify"] = {**notify, "webhook_url": hide_path(url)}
    return shown


class NotifySpec(Section):
    """Who is told when a run has ended or stalls."""

    LABEL: ClassVar[str] = "notify"

    on: Annotated[
        tuple[Outcome, ...],
        Field(strict=False, min_length=1, max_length=3),
        AfterValidator(_each_once),
        Expected("a list of success, failure and stall, each once at most", "group", OUTCOMES),
    ] = Field(
        OUTCOMES,
        description="What is told: that the run succeeded, that it failed or was cancelled, that"
        " its job stalls (`limits.stall`).",
    )
    command: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] | None,
        Field(strict=False),
        Expected("a list of 1 to 64 texts: the program, then its arguments", "group"),
    ] = Field(
        None,
        min_length=1,
        max_length=64,
        description="Program that is started, without a shell, in the job file's folder. It gets"
        " JSON on stdin, `FTOPS_OUTCOME`, `FTOPS_RUN_ID`, `FTOPS_NAME` and `FTOPS_JOB_ID` as"
        " environment variables beside `PATH`, `HOME`, `LANG`, `TMPDIR` and those of `env`, and"
        " 30 s.",
    )
    env: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)], ...],
        Field(strict=False, max_length=64),
        Expected("a list of names of environment variables, such as SLACK_CHANNEL", private=True),
    ] = Field((), description="Environment variables that the program gets, too, by their names.")
    webhook_url: Annotated[
        Annotated[str, Field(pattern=_URL, max_length=2048), AfterValidator(_sound)] | None,
        Expected(
            "an address such as https://host/path without user or query (http: loopback only)",
            private=True,
        ),
    ] = Field(
        None,
        description="Address that gets the same JSON by POST, without the provider's words about a"
        " failure, signed as Standard Webhooks say.",
    )
    webhook_secret_env: Annotated[
        str | None,
        Expected("the name of an environment variable, such as FTOPS_WEBHOOK_SECRET", private=True),
    ] = Field(
        None,
        pattern=r"^[A-Z_][A-Z0-9_]*$",
        max_length=128,
        description="Environment variable with the secret that signs: `whsec_` and base64. The"
        " secret itself never stands here.",
    )
