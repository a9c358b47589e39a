"""`--moderate`: texts of data go to a provider that judges them, once somebody has agreed."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import typer

from ftops.cli.data.findings import Examined
from ftops.cli.data.held_input import check_is_file
from ftops.cli.environment import get_home, read_environ
from ftops.cli.factory import open_provider
from ftops.cli.output import Mode, NotConfirmed, Output, clean
from ftops.clock import Clock, SystemClock
from ftops.data.checks.moderation import find_flagged
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import open_source
from ftops.data.screening.moderation import ModerationCache, Moderator
from ftops.errors import ProviderError
from ftops.providers.address import get_base_url
from ftops.providers.registry import require_moderation
from ftops.records import ProviderSettings

_REMARK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Moderation:
    """Who is to judge the texts: the provider, and the host that they are sent to."""

    settings: ProviderSettings
    host: str

    @property
    def judge(self) -> str:
        return f"{self.settings.type} ({self.host})"


def prepare_moderation(
    out: Output, files: Iterable[str], provider: str, *, yes: bool
) -> Moderation:
    """What `--moderate` means with these files, before any of them is read.

    ProviderError when that provider judges no texts, NotConfirmed when nobody could be asked, and
    DatasetError for standard input, which is read twice here.
    """
    settings = ProviderSettings(type=provider)
    require_moderation(settings)
    check_is_file(*map(Path, files))
    host = urlsplit(get_base_url(settings, read_environ())).netloc
    if not yes and not _is_interactive(out):
        raise NotConfirmed(
            f"nothing was sent: nobody can be asked whether the texts may go to {host}",
            hint="Give --yes to send them without a question, or leave --moderate out.",
        )
    return Moderation(settings, host)


def add_harmful(
    out: Output,
    moderation: Moderation,
    examined: list[Examined],
    files: Iterable[str],
    options: ReadOptions,
    *,
    yes: bool,
) -> None:
    """Add what the provider says of the texts to what was found in each of `files`."""
    if not yes:
        _ask(moderation, examined)
    with _open_moderator(out, moderation) as moderator:
        try:
            for one, name in zip(examined, files, strict=True):
                again = open_source(Path(name), options)
                one.findings = (*one.findings, *find_flagged(again, moderator.judge))
        except ProviderError:
            if moderator.sent:
                out.info(
                    f"moderation: {_say_texts(moderator.sent)} judged, which is kept:"
                    " the same command goes on there"
                )
            raise
        out.info(f"moderation: {_say_texts(moderator.sent)} sent to {moderation.judge}")


def _say_texts(count: int) -> str:
    return "1 text was" if count == 1 else f"{count:,} texts were"


def _is_interactive(out: Output) -> bool:
    return out.mode is Mode.HUMAN and sys.stdin.isatty()


def _ask(moderation: Moderation, examined: list[Examined]) -> None:
    """Return when the user agrees that the texts leave this machine."""
    characters = sum(one.verdict.prompt_chars + one.verdict.completion_chars for one in examined)
    rows = sum(one.verdict.rows for one in examined)
    names = ", ".join(one.source.name for one in examined)
    question = (
        f"Send the texts of {names} ({rows:,} rows, {characters:,} characters) to"
        f" {moderation.judge}, to be judged there?"
    )
    try:
        agreed = typer.confirm(clean(question), err=True)
    except typer.Abort:  # Ctrl-C, or the end of the input
        agreed = False
    if not agreed:
        raise NotConfirmed(
            "nothing was sent", hint="Leave --moderate out to check on this machine."
        )


@contextlib.contextmanager
def _open_moderator(out: Output, moderation: Moderation) -> Iterator[Moderator]:
    with open_provider(moderation.settings) as provider:
        verdicts = ModerationCache(get_home(), f"{provider.account} {provider.moderation_model}")
        progress = Progress(out.info, SystemClock())
        yield Moderator(provider.moderate, verdicts, progress.sent)


class Progress:
    """Says from time to time how many texts were sent."""

    def __init__(self, say: Callable[[str], None], clock: Clock) -> None:
        self._say = say
        self._clock = clock
        self._said_s = clock.monotonic_s()

    def sent(self, texts: int) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._said_s >= _REMARK_EVERY_S:
            self._said_s = now_s
            self._say(f"moderation: {_say_texts(texts)} sent so far")
