"""The section `notify` of the job file, and functions that hide its webhook address."""

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


def _check_unique(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise ValueError("repeated")
    return values


def _check_address(url: str) -> str:
    """The address; ValueError if a client cannot use it."""
    parts = urlsplit(url)
    if not parts.hostname or parts.port == 0:
        raise ValueError("no host")
    if parts.path == HIDDEN_PATH:
        raise ValueError("a copy whose path is hidden")
    return url


def hide_path(url: str) -> str:
    """The address of a webhook without its path, which is a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{HIDDEN_PATH}"


def hide_webhook(text: str, url: str | None) -> str:
    """The text with the path hidden in each occurrence of the address."""
    if url is None or urlsplit(url).path in ("", "/"):
        return text
    return text.replace(url, hide_path(url))


def find_webhook(spec: Mapping[str, Json]) -> str | None:
    """The address of the webhook in a job file as JSON."""
    notify = spec.get("notify")
    url = notify.get("webhook_url") if isinstance(notify, dict) else None
    return url if isinstance(url, str) else None


def hide_in_spec(spec: Mapping[str, Json]) -> dict[str, Json]:
    """A job file as JSON, with the path of its webhook removed."""
    shown, url, notify = dict(spec), find_webhook(spec), spec.get("notify")
    if url is not None and isinstance(notify, dict):
        shown["notify"] = {**notify, "webhook_url": hide_path(url)}
    return shown


class NotifySpec(Section):
    """Notifications when a run ends or stalls."""

    LABEL: ClassVar[str] = "notify"

    on: Annotated[
        tuple[Outcome, ...],
        Field(strict=False, min_length=1, max_length=3),
        AfterValidator(_check_unique),
        Expected("a list of success, failure and stall, each once at most", "group", OUTCOMES),
    ] = Field(
        OUTCOMES,
        description="When to notify: after a success, after a failure or cancellation, when the job"
        " stalls (`limits.stall`).",
    )
    command: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] | None,
        Field(strict=False),
        Expected("a list of 1 to 64 texts: the program, then its arguments", "group"),
    ] = Field(
        None,
        min_length=1,
        max_length=64,
        description="Program to start, without a shell, in the job file's folder. It gets JSON on"
        " stdin, and the environment variables `FTOPS_OUTCOME`, `FTOPS_RUN_ID`, `FTOPS_NAME`,"
        " `FTOPS_JOB_ID`, `PATH`, `HOME`, `LANG`, `TMPDIR` and those of `env`. It is killed after"
        " 30 s.",
    )
    env: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)], ...],
        Field(strict=False, max_length=64),
        Expected("a list of names of environment variables, such as SLACK_CHANNEL", private=True),
    ] = Field((), description="Names of further environment variables that the program gets.")
    webhook_url: Annotated[
        Annotated[str, Field(pattern=_URL, max_length=2048), AfterValidator(_check_address)] | None,
        Expected(
            "an address such as https://host/path without user or query (http: loopback only)",
            private=True,
        ),
    ] = Field(
        None,
        description="Address to which the JSON is sent by POST, without the provider's error"
        " message, signed according to Standard Webhooks.",
    )
    webhook_secret_env: Annotated[
        str | None,
        Expected("the name of an environment variable, such as FTOPS_WEBHOOK_SECRET", private=True),
    ] = Field(
        None,
        pattern=r"^[A-Z_][A-Z0-9_]*$",
        max_length=128,
        description="Environment variable with the signing secret: `whsec_` and base64. The secret"
        " itself is not allowed in a job file.",
    )
