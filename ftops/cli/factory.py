"""Builds the dependencies of commands: providers, model catalog, approvals, request log."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping

from ftops.cli.environment import get_home, open_ledger, read_environ
from ftops.cli.output import Mode, Output
from ftops.clock import Clock, SystemClock
from ftops.http.request_log import FILENAME, RequestLog
from ftops.ledger.ledger import Ledger
from ftops.providers.address import Destination, read_base_url
from ftops.providers.model_catalog import ExampleLimit, ModelCatalog, ModelInfo
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import build_provider, list_catalog_tables
from ftops.providers.trust import Trust, TrustFile
from ftops.records import ENGINE_PROVIDER, ProviderSettings


def find_example_limit(settings: ProviderSettings, model: str) -> ExampleLimit | None:
    """The maximum length of a training row for the model; None when it is unknown."""
    return get_model_info(settings, model).find_example_limit()


def get_model_info(settings: ProviderSettings, model: str) -> ModelInfo:
    """The prices and limits of the model.

    Needs no key and no network. ModelsFileError when the user's own model file is invalid.
    """
    return open_model_catalog().get_model_info(list_catalog_tables(settings, read_environ()), model)


def open_model_catalog() -> ModelCatalog:
    """The models that ftops and the user's own model file describe."""
    return ModelCatalog(get_home(), SystemClock())


def get_default_provider() -> ProviderSettings:
    """The built-in engine."""
    return ProviderSettings(type=ENGINE_PROVIDER)


def open_request_log(on_note: Callable[[str], None] | None = None) -> RequestLog:
    """The log of all requests; `on_note` is called when it cannot be written."""
    return RequestLog(get_home() / FILENAME, SystemClock(), on_note or _warn)


def _warn(text: str) -> None:
    Output(Mode.HUMAN, stdout=sys.stdout, stderr=sys.stderr).warn(f"note: {text}")


@contextlib.contextmanager
def open_provider(
    settings: ProviderSettings,
    *,
    on_note: Callable[[str], None] | None = None,
    typed: ProviderSettings | None = None,
) -> Iterator[Provider]:
    """A provider; the built-in engine is started when it does not run.

    `on_note` and `typed` as for `open_providers`.
    """
    with open_providers(typed, on_note=on_note) as get_provider:
        yield get_provider(settings)


def find_deployed(account: str, model: str) -> str | None:
    """The name in requests of a model that the ledger knows to be deployed."""
    if not (get_home() / "ledger.db").is_file():
        return None
    with open_ledger() as ledger:
        return ledger.find_call_name(account, model)


def open_trust() -> Trust:
    """The approvals of the home folder."""
    return Trust(TrustFile(get_home()))


def find_export_destination(
    settings: Mapping[str, str], environ: Mapping[str, str]
) -> Destination | None:
    """The server to which the job file exports runs, and the variable with its key.

    None for a file, and for the address in the environment. ProviderError for an invalid address.
    """
    uri = settings.get("tracking_uri", "").strip()
    is_server = uri.lower().startswith(("http://", "https://"))
    if not is_server or uri == environ.get("MLFLOW_TRACKING_URI"):
        return None
    return Destination(read_base_url(uri), "MLFLOW_TRACKING_TOKEN")


@contextlib.contextmanager
def open_providers(
    typed: ProviderSettings | None = None,
    *,
    on_note: Callable[[str], None] | None = None,
    clock: Clock | None = None,
    ledger: Ledger | None = None,
) -> Iterator[Callable[[ProviderSettings], Provider]]:
    """A function that opens each provider once, for several threads; the block's end closes all.

    `typed` are the settings given as options of the command: their address needs no approval.
    `on_note` shows notes; the default is stderr. `ledger` knows which models are deployed; the
    default is that of the home folder.
    """
    context = ProviderContext(
        environ=read_environ(),
        home=get_home(),
        clock=clock or SystemClock(),
        request_log=open_request_log(on_note),
        typed=typed,
        find_deployed=ledger.find_call_name if ledger else find_deployed,
    )
    opened: dict[ProviderSettings, Provider] = {}
    lock = threading.Lock()
    with contextlib.ExitStack() as stack:

        def get_provider(settings: ProviderSettings) -> Provider:
            with lock:
                if settings not in opened:
                    provider = build_provider(settings, context)
                    opened[settings] = stack.enter_context(contextlib.closing(provider))
                return opened[settings]

        yield get_provider
