"""Builds what commands work with: providers, run contexts, exporters, token counters."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping

from ftops.cli.environment import get_home, read_environ
from ftops.cli.output import Mode, Output
from ftops.clock import Clock, SystemClock
from ftops.data.tokens.counter import Counting
from ftops.data.tokens.vocabulary import find_folders
from ftops.exports.exporter import Exporter, SubprocessExporter
from ftops.http.request_log import FILENAME, RequestLog
from ftops.ledger.ledger import Ledger
from ftops.notifications.notifier import DefaultNotifier
from ftops.providers.address import (
    Destination,
    list_catalog_tables,
    read_base_url,
)
from ftops.providers.engine_process import estimate_with_engine
from ftops.providers.model_catalog import ExampleLimit, ModelCatalog, ModelInfo
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import build_provider
from ftops.providers.trust import Trust, TrustFile
from ftops.records import ProviderSettings
from ftops.runs.context import RunContext
from ftops.runs.observer import Observer
from ftops.runs.tokens import TokenCounter


def find_example_limit(settings: ProviderSettings, model: str) -> ExampleLimit | None:
    """How long a row of training data may be for that model; None when nobody has told."""
    return get_model_info(settings, model).find_example_limit()


def get_model_info(settings: ProviderSettings, model: str) -> ModelInfo:
    """What is known of that model's prices and limits.

    Needs no key and no network. ModelsFileError when the user's own figures cannot be read.
    """
    return open_model_catalog().get_model_info(list_catalog_tables(settings, read_environ()), model)


def open_model_catalog() -> ModelCatalog:
    """What is known about models, by ftops and by the user."""
    return ModelCatalog(get_home(), SystemClock())


def find_provider_settings(
    name: str | None, base_url: str | None, api_key_env: str | None
) -> ProviderSettings | None:
    """The provider that the options name; None when they name none."""
    if not (name or base_url or api_key_env):
        return None
    return ProviderSettings(type=name or "openai", base_url=base_url, api_key_env=api_key_env)


def get_default_provider() -> ProviderSettings:
    """Who is asked when nobody is named: the built-in engine."""
    return ProviderSettings(type="local")


def open_request_log(say: Callable[[str], None] | None = None) -> RequestLog:
    """The log of every request that leaves; `say` is told when it cannot be written."""
    return RequestLog(get_home() / FILENAME, SystemClock(), say or _warn)


def _warn(text: str) -> None:
    Output(Mode.HUMAN, stdout=sys.stdout, stderr=sys.stderr).warn(f"note: {text}")


@contextlib.contextmanager
def open_provider(
    settings: ProviderSettings,
    *,
    say: Callable[[str], None] | None = None,
    typed: ProviderSettings | None = None,
) -> Iterator[Provider]:
    """A provider, ready to be asked; the built-in engine is started when it does not run.

    `say` shows what is not an error; the default is stderr. `typed` is what options of the command
    name: that address needs no approval.
    """
    context = ProviderContext(
        environ=read_environ(),
        home=get_home(),
        clock=SystemClock(),
        request_log=open_request_log(say),
        typed=typed,
    )
    with contextlib.closing(build_provider(settings, context)) as provider:
        yield provider


def open_trust() -> Trust:
    """What is approved, by the file in the home and by the environment."""
    return Trust(TrustFile(get_home()), read_environ())


def find_export_destination(
    settings: Mapping[str, str], environ: Mapping[str, str]
) -> Destination | None:
    """The server that a tracker's settings in the job file name, and the key that goes there.

    None for a file, and for the address that the environment names, too. ProviderError for an
    address that is none.
    """
    uri = settings.get("tracking_uri", "").strip()
    is_server = uri.lower().startswith(("http://", "https://"))
    if not is_server or uri == environ.get("MLFLOW_TRACKING_URI"):
        return None
    return Destination(read_base_url(uri), "MLFLOW_TRACKING_TOKEN")


def make_exporter() -> Exporter:
    """Whoever tells trackers of runs, with the environment that their libraries read."""
    environ, trust = read_environ(), open_trust()

    def check(settings: Mapping[str, str]) -> None:
        if where := find_export_destination(settings, environ):
            trust.check(where)

    return SubprocessExporter(environ, check_settings=check)


def make_token_counting() -> TokenCounter:
    """Counts tokens with what lies on this machine; nothing is fetched."""
    folders = find_folders(read_environ(), get_home())
    return TokenCounter(Counting(folders), estimate_with_engine)


@contextlib.contextmanager
def open_providers(
    typed: ProviderSettings | None = None,
) -> Iterator[Callable[[ProviderSettings], Provider]]:
    """A maker of providers, one for each settings, which are closed at the end of the block.

    `typed` as for `open_provider`.
    """
    opened: dict[ProviderSettings, Provider] = {}
    with contextlib.ExitStack() as stack:

        def reach(settings: ProviderSettings) -> Provider:
            if settings not in opened:
                opened[settings] = stack.enter_context(open_provider(settings, typed=typed))
            return opened[settings]

        yield reach


@contextlib.contextmanager
def open_run_context(
    ledger: Ledger, settings: ProviderSettings, observer: Observer
) -> Iterator[RunContext]:
    """All that driving a run takes."""
    clock = SystemClock()
    with open_provider(settings, say=observer.on_note) as provider, open_providers() as reach:
        yield RunContext(
            ledger=ledger,
            provider=provider,
            clock=clock,
            home=get_home(),
            observer=observer,
            notifier=DefaultNotifier(read_environ(), clock, open_request_log(observer.on_note)),
            exporter=make_exporter(),
            tokens=make_token_counting(),
            open_provider=reach,
        )


@contextlib.contextmanager
def open_run_contexts(
    ledger: Ledger, clock: Clock
) -> Iterator[Callable[[ProviderSettings, Observer], RunContext]]:
    """Run contexts for several threads, with one provider for all runs of an account."""
    request_log = open_request_log(None)
    context = ProviderContext(
        environ=read_environ(), home=get_home(), clock=clock, request_log=request_log
    )
    notifier = DefaultNotifier(context.environ, clock, request_log)
    exporter = make_exporter()
    counting = make_token_counting()
    providers: dict[ProviderSettings, Provider] = {}
    lock = threading.Lock()

    def reach(settings: ProviderSettings) -> Provider:
        with lock:
            if settings not in providers:
                providers[settings] = build_provider(settings, context)
            return providers[settings]

    def create_context(settings: ProviderSettings, observer: Observer) -> RunContext:
        return RunContext(
            ledger=ledger,
            provider=reach(settings),
            clock=clock,
            home=context.home,
            observer=observer,
            notifier=notifier,
            exporter=exporter,
            tokens=counting,
            open_provider=reach,
        )

    try:
        yield create_context
    finally:
        for provider in providers.values():
            provider.close()
