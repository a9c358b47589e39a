"""The server: one engine at a time in a folder, with its address in `address.json`.

It exits on SIGINT or SIGTERM, or after `idle_s` without requests and active jobs. Its workers then
write a checkpoint and exit; their jobs continue at the next start.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from filelock import FileLock, Timeout
from pydantic import BaseModel

from ftops import __version__, crashpoints
from ftops.clock import Clock, SystemClock
from ftops.engine.address import (
    base_url,
    is_loopback,
    load_token,
    open_socket,
    remove_address,
    write_address,
)
from ftops.engine.api import chat, completions, engines, files, fine_tunes, jobs, models, uploads
from ftops.engine.api.engine import EngineDependency, EngineServices
from ftops.engine.api.errors import install_error_handlers
from ftops.engine.api.quotas import Quotas
from ftops.engine.api.routing import EncodedPathMiddleware
from ftops.engine.api.schema import ErrorBody
from ftops.engine.cleanup import delete_stale_files
from ftops.engine.connections import ConnectionLimits, allow_files, make_connection_class
from ftops.engine.event_notifier import EventNotifier
from ftops.engine.generation import ModelPool
from ftops.engine.keys import KeyAuthenticator
from ftops.engine.lora.serving import ServingPool
from ftops.engine.scheduler import Scheduler
from ftops.engine.security import Activity, BodyLimits, SecurityMiddleware
from ftops.engine.settings import EngineFolder, EngineSettings
from ftops.engine.store import Store
from ftops.engine.trainer_registry import get_trainer, list_bases
from ftops.engine.upload_assembly import UploadAssembler
from ftops.engine.validation import FileSummaries, FileValidator
from ftops.errors import EngineError
from ftops.files import PRIVATE_FILE, make_private, make_private_dir, storage_error
from ftops.records import EngineAddress

_ERROR: dict[str, Any] = {"model": ErrorBody, "description": "An error of the API"}
_DESCRIPTION = "Fine-tuning on this machine, by OpenAI's protocol."


class Health(BaseModel):
    """The state of the engine."""

    status: str
    version: str
    pid: int
    unfinished_jobs: int


def create_app(engine: EngineServices) -> FastAPI:
    """The web application; it does not start the scheduler."""
    app = FastAPI(
        title="ftops engine",
        description=_DESCRIPTION,
        version=__version__,
        docs_url=None,  # these pages load scripts from the network
        redoc_url=None,
        redirect_slashes=False,
        responses={"4XX": _ERROR, "5XX": _ERROR},
    )
    app.state.engine = engine
    settings = engine.settings
    app.add_middleware(
        SecurityMiddleware,
        keys=KeyAuthenticator(engine.token, engine.store),
        host=settings.host,
        limits=BodyLimits(
            settings.max_upload_bytes,
            settings.max_part_bytes,
            settings.max_body_bytes,
            settings.body_timeout_s,
        ),
        activity=engine.activity,
    )
    app.add_middleware(EncodedPathMiddleware)
    install_error_handlers(app)
    current = (files, uploads, jobs, models, completions, chat)
    for module in (*current, fine_tunes, engines):
        app.include_router(module.router)
    app.add_api_route("/healthz", _health, methods=["GET"], tags=["engine"])
    return app


def _health(engine: EngineDependency) -> Health:
    """The state of the engine; does not count as activity."""
    unfinished = engine.store.jobs.count_unfinished()
    return Health(status="ok", version=__version__, pid=os.getpid(), unfinished_jobs=unfinished)


OnReady = Callable[[EngineAddress], None]
_THREAD_LIMITS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_GRACE_S = 5  # for active requests at shutdown
_FILES_PER_CONNECTION = 3  # itself, an uploaded or downloaded file, a refused one
_OTHER_FILES = 256
_SWITCH_S = 0.001
_log = logging.getLogger(__name__)


def serve(settings: EngineSettings, *, on_ready: OnReady) -> None:
    """Run an engine until a signal, or until it has been idle for `idle_s`.

    `on_ready` is called when it accepts requests. Raises PortTaken, or EngineError when another
    engine uses the folder.
    """
    limit_threads()
    paths = prepare_folder(settings.paths)
    lock = FileLock(paths.lock, timeout=0, mode=PRIVATE_FILE)
    try:
        make_private(paths.lock)
        lock.acquire()
    except Timeout:
        raise EngineError(
            f"another engine is running in {paths.root}",
            hint="`ftops engine status` shows it, `ftops engine stop` ends it.",
        ) from None
    except OSError as error:
        raise storage_error(error, paths.lock) from error
    try:
        _serve(settings, on_ready)
    finally:
        lock.release()


def limit_threads() -> None:
    """Limit linear algebra to one thread in each process, before NumPy is imported.

    Threads that wait for each other on a busy machine are many times slower. Workers inherit it.
    """
    for name in _THREAD_LIMITS:
        os.putenv(name, "1")


def reduce_latency() -> None:
    """Switch to the event loop soon while threads compute, and make garbage collection fast."""
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()  # imported modules are not collected


def prepare_folder(paths: EngineFolder) -> EngineFolder:
    """Create the folders of an engine."""
    for path in (paths.root, paths.files, paths.models, paths.jobs, paths.incoming, paths.uploads):
        make_private_dir(path)
    return paths


def build_engine(settings: EngineSettings, store: Store, clock: Clock) -> EngineServices:
    """Create the services of an engine."""
    summaries = FileSummaries()
    scheduler = Scheduler(store, settings, clock, summaries)
    return EngineServices(
        settings=settings,
        token=load_token(settings.paths.token),
        store=store,
        scheduler=scheduler,
        model_pool=ModelPool(
            settings.paths,
            partial(get_trainer, folder=settings.paths),
            settings.max_loaded_models,
            ServingPool(clock, settings.serving_command, settings.vllm_url, scheduler.is_training),
        ),
        file_validator=FileValidator(store, settings.paths, summaries),
        activity=Activity(clock),
        event_notifier=EventNotifier(settings.paths.database),
        upload_assembler=UploadAssembler(),
        quotas=Quotas(settings),
        list_bases=partial(list_bases, settings.paths),
    )


def _serve(settings: EngineSettings, on_ready: OnReady) -> None:
    paths = settings.paths
    with open_socket(settings) as bound:
        clock = SystemClock()
        store = Store(paths.database, clock)
        try:
            _check_exposure(settings, store)
            delete_stale_files(store, paths)
            engine = build_engine(settings, store, clock)
            crashpoints.reach("engine.start.after_sweep")
            engine.scheduler.start()
            crashpoints.reach("engine.start.after_recovery")
            engine.file_validator.wake()  # for files that an earlier engine has not validated
            reduce_latency()
            try:
                _run(engine, bound, on_ready)
            finally:
                engine.file_validator.stop()
                engine.scheduler.stop()
                engine.model_pool.stop()
        finally:
            store.close()


def _check_exposure(settings: EngineSettings, store: Store) -> None:
    """EngineError when other machines can reach the engine, but there are no keys for them."""
    if is_loopback(settings.host) or store.keys.list_all():
        return
    raise EngineError(
        f"other machines can reach an engine on {settings.host}, and there are no API keys",
        hint="`ftops engine keys create NAME` creates one; the token is for this machine only.",
    )


def _run(engine: EngineServices, bound: socket.socket, on_ready: OnReady) -> None:
    settings = engine.settings
    limits = ConnectionLimits(
        settings.header_timeout_s, settings.write_timeout_s, settings.max_connections
    )
    allow_files(_OTHER_FILES + _FILES_PER_CONNECTION * settings.max_connections)
    config = uvicorn.Config(
        create_app(engine),
        http=make_connection_class(limits),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the address of the connection is checked
        ws="none",
        timeout_graceful_shutdown=_GRACE_S,
        timeout_notify=1,
    )
    server = _Server(config)

    async def end_when_idle() -> None:
        engine.model_pool.stop_idle(settings.model_idle_s)
        if _is_idle(engine):
            _log.info("idle for %s s: exiting", engine.settings.idle_s)
            server.should_exit = True

    config.callback_notify = end_when_idle
    port = bound.getsockname()[1]
    url = base_url(engine.settings.host, port)
    address = EngineAddress(url, engine.token, os.getpid(), __version__)

    def announce() -> None:
        write_address(engine.paths, address)
        _log.info("listening at %s", url)
        on_ready(address)

    server.on_listening = announce
    server.on_shutdown = engine.event_notifier.close  # open streams would delay the shutdown
    try:
        with _ignore_signals():
            asyncio.run(server.serve(sockets=[bound]))
    finally:
        remove_address(engine.paths)


def _is_idle(engine: EngineServices) -> bool:
    limit_s = engine.settings.idle_s
    if limit_s is None or engine.activity.idle_s < limit_s:
        return False
    return not engine.store.jobs.list_active()  # paused jobs do not count


class _Server(uvicorn.Server):
    """Calls back when it listens, and when it shuts down."""

    on_listening: Callable[[], None]
    on_shutdown: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self.on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.on_shutdown()
        await super().shutdown(sockets)


@contextmanager
def _ignore_signals() -> Iterator[None]:
    """Let `serve` return after a signal: uvicorn raises the signal again after its shutdown."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
