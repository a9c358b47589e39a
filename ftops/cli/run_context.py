"""Builds run contexts, with the exporter and the token counter."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from ftops.cli.environment import get_home, read_environ
from ftops.cli.factory import (
    find_export_destination,
    open_providers,
    open_request_log,
    open_trust,
)
from ftops.clock import Clock, SystemClock
from ftops.data.tokens.counter import CounterFactory
from ftops.data.tokens.vocabulary import list_vocabulary_folders
from ftops.exports.exporter import Exporter, SubprocessExporter
from ftops.ledger.ledger import Ledger
from ftops.notifications.notifier import DefaultNotifier
from ftops.providers.engine_process import estimate_with_engine
from ftops.records import ProviderSettings
from ftops.runs.context import RunContext
from ftops.runs.estimate import TokenCounter
from ftops.runs.observer import Observer


def create_exporter() -> Exporter:
    """The exporter of runs, with the environment variables of the tools' libraries."""
    environ, trust = read_environ(), open_trust()

    def check(settings: Mapping[str, str]) -> None:
        if where := find_export_destination(settings, environ):
            trust.check(where)

    return SubprocessExporter(environ, check_settings=check)


def create_token_counter(*, is_measured: bool = False) -> TokenCounter:
    """A token counter with the tokenizers on this machine; nothing is downloaded.

    When `is_measured`, estimates of pre-trained models take two steps of the training.
    """
    folders = list_vocabulary_folders(read_environ(), get_home())
    estimate = partial(estimate_with_engine, home=get_home(), is_measured=is_measured)
    return TokenCounter(CounterFactory(folders), estimate)


@contextlib.contextmanager
def open_run_context(
    ledger: Ledger, settings: ProviderSettings, observer: Observer
) -> Iterator[RunContext]:
    """The context of one run."""
    with open_run_contexts(ledger, SystemClock(), on_note=observer.on_note) as create_context:
        yield create_context(settings, observer)


@contextlib.contextmanager
def open_run_contexts(
    ledger: Ledger, clock: Clock, *, on_note: Callable[[str], None] | None = None
) -> Iterator[Callable[[ProviderSettings, Observer], RunContext]]:
    """Run contexts for several threads, with one provider for all runs of an account."""
    notifier = DefaultNotifier(read_environ(), clock, open_request_log(on_note))
    exporter = create_exporter()
    tokens = create_token_counter()
    with open_providers(on_note=on_note, clock=clock) as get_provider:
        yield lambda settings, observer: RunContext(
            ledger=ledger,
            provider=get_provider(settings),
            clock=clock,
            home=get_home(),
            observer=observer,
            notifier=notifier,
            exporter=exporter,
            tokens=tokens,
            open_provider=get_provider,
        )
