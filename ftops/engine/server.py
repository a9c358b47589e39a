"""An engine from its start to its end: one at a time in a folder, known by `address.json`.

It ends on SIGINT or SIGTERM, or by itself when nobody has wanted anything for `idle_s` and no job
is unfinished. Workers are then asked to write a checkpoint; their jobs go on at the next start.
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

_ERROR: dict[str, Any] = {"model": ErrorBody, "description": "A refusal, in the API's own shape"}
_DESCRIPTION = "Fine-tuning on this machine, by OpenAI's protocol."


class Health(BaseModel):
    """That the engine answers, and which one."""

    status: str
    version: str
    pid: int
    unfinished_jobs: int


def create_app(engine: EngineServices) -> FastAPI:
    """The application around `engine`; its scheduler is started by whoever serves it."""
    app = FastAPI(
        title="ftops engine",
        description=_DESCRIPTION,
        version=__version__,
        docs_url=None,  # these pages would load scripts from the network
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
    for room in (*current, fine_tunes, engines):
        app.include_router(room.router)
    app.add_api_route("/healthz", _health, methods=["GET"], tags=["engine"])
    return app


def _health(engine: EngineDependency) -> Health:
    """Whether the engine works; does not keep an idle one awake."""
    unfinished = engine.store.jobs.count_unfinished()
    return Health(status="ok", version=__version__, pid=os.getpid(), unfinished_jobs=unfinished)


OnReady = Callable[[EngineAddress], None]
_THREAD_LIMITS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_GRACE_S = 5  # for requests under way when the engine ends
_FILES_A_CONNECTION = 3  # itself, a file that goes up or down, one that is refused
_FILES_BESIDE = 256
_SWITCH_S = 0.001
_log = logging.getLogger(__name__)


def serve(settings: EngineSettings, *, on_ready: OnReady) -> None:
    """Run an engine until it is told to end.

    `on_ready` is called when it answers. Raises PortTaken, or EngineError when another engine
    has the folder.
    """
    limit_threads()
    paths = prepare_folder(settings.paths)
    lock = FileLock(paths.lock, timeout=0, mode=PRIVATE_FILE)
    try:
        make_private(paths.lock)
        lock.acquire()
    except Timeout:
        raise EngineError(
            f"another engine works in {paths.root}",
            hint="`ftops engine status` shows it, `ftops engine stop` ends it.",
        ) from None
    except OSError as error:
        raise storage_error(error, paths.lock) from error
    try:
        _serve(settings, on_ready)
    finally:
        lock.release()


def limit_threads() -> None:
    """One thread for each process's linear algebra: two that wait for each other on a busy
    machine are many times slower. Must come before NumPy is imported; workers inherit it."""
    for name in _THREAD_LIMITS:
        os.putenv(name, "1")


def favour_short_requests() -> None:
    """Let the event loop have its turn soon while threads compute, and collect garbage fast."""
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()  # what was imported stays: no collection has to look at it


def prepare_folder(paths: EngineFolder) -> EngineFolder:
    """Make the folders of an engine."""
    for path in (paths.root, paths.files, paths.models, paths.jobs, paths.incoming, paths.uploads):
        make_private_dir(path)
    return paths


def build_engine(settings: EngineSettings, store: Store, clock: Clock) -> EngineServices:
    """The parts of an engine around its store."""
    summaries = FileSummaries()
    return EngineServices(
        settings=settings,
        token=load_token(settings.paths.token),
        store=store,
        scheduler=Scheduler(store, settings, clock, summaries),
        model_pool=ModelPool(settings.paths, get_trainer, settings.max_loaded_models),
        file_validator=FileValidator(store, settings.paths, summaries),
        activity=Activity(clock),
        event_notifier=EventNotifier(settings.paths.database),
        upload_assembler=UploadAssembler(),
        quotas=Quotas(settings),
        list_bases=list_bases,
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
            engine.file_validator.wake()  # for what an earlier engine had not looked at
            favour_short_requests()
            try:
                _run(engine, bound, on_ready)
            finally:
                engine.file_validator.stop()
                engine.scheduler.stop()
        finally:
            store.close()


def _check_exposure(settings: EngineSettings, store: Store) -> None:
    """EngineError when other machines could reach the engine, but no key was made for them."""
    if is_loopback(settings.host) or store.keys.list_all():
        return
    raise EngineError(
        f"an engine on {settings.host} can be reached from other machines, and no key was made",
        hint="`ftops engine keys create NAME` makes one; the token is for this machine alone.",
    )


def _run(engine: EngineServices, bound: socket.socket, on_ready: OnReady) -> None:
    settings = engine.settings
    limits = ConnectionLimits(
        settings.header_timeout_s, settings.write_timeout_s, settings.max_connections
    )
    allow_files(_FILES_BESIDE + _FILES_A_CONNECTION * settings.max_connections)
    config = uvicorn.Config(
        create_app(engine),
        http=make_connection_class(limits),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the door wants to know who is really connected
        ws="none",
        timeout_graceful_shutdown=_GRACE_S,
        timeout_notify=1,
    )
    server = _Server(config)

    async def end_when_idle() -> None:
        if _is_idle(engine):
            _log.info("idle for %s s: the engine ends", engine.settings.idle_s)
            server.should_exit = True

    config.callback_notify = end_when_idle
    port = bound.getsockname()[1]
    url = base_url(engine.settings.host, port)
    address = EngineAddress(url, engine.token, os.getpid(), __version__)

    def announce() -> None:
        write_address(engine.paths, address)
        _log.info("listening at %s", url)
        on_ready(address)

    server.when_listening = announce
    server.when_ending = engine.event_notifier.close  # who follows a job would hold the end up
    try:
        with _quiet_signals():
            asyncio.run(server.serve(sockets=[bound]))
    finally:
        remove_address(engine.paths)


def _is_idle(engine: EngineServices) -> bool:
    limit_s = engine.settings.idle_s
    if limit_s is None or engine.activity.idle_s < limit_s:
        return False
    return not engine.store.jobs.list_active()  # a paused job waits for its next start


class _Server(uvicorn.Server):
    """Says when it really listens, and when it begins to end."""

    when_listening: Callable[[], None]
    when_ending: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self.when_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.when_ending()
        await super().shutdown(sockets)


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """Let `serve` return after a signal: uvicorn raises it again when it has shut down."""
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
