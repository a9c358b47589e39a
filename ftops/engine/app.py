"""The engine's web application: a value made of its parts, with nothing global behind it."""

import os
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from ftops import __version__
from ftops.engine.api import (
    chat,
    checkpoints,
    completions,
    engines,
    files,
    fine_tunes,
    jobs,
    models,
    uploads,
)
from ftops.engine.api.encoded_paths import EncodedPaths
from ftops.engine.api.engine import EngineParts, TheEngine
from ftops.engine.api.failures import install_failures
from ftops.engine.api.wire import ErrorBody
from ftops.engine.keys import KeyRing
from ftops.engine.security import Door, Limits

_ERROR: dict[str, Any] = {"model": ErrorBody, "description": "A refusal, in the API's own shape"}
_DESCRIPTION = "Fine-tuning on this machine, by OpenAI's protocol."


class Health(BaseModel):
    """That the engine answers, and which one."""

    status: str
    version: str
    pid: int
    unfinished_jobs: int


def create_app(engine: EngineParts) -> FastAPI:
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
        Door,
        keys=KeyRing(engine.token, engine.store),
        host=settings.host,
        limits=Limits(
            settings.max_upload_bytes,
            settings.max_part_bytes,
            settings.max_body_bytes,
            settings.body_wait_s,
        ),
        activity=engine.activity,
    )
    app.add_middleware(EncodedPaths)
    install_failures(app)
    current = (files, uploads, jobs, checkpoints, models, completions, chat)
    for room in (*current, fine_tunes, engines):
        app.include_router(room.router)
    app.add_api_route("/healthz", _health, methods=["GET"], tags=["engine"])
    return app


def _health(engine: TheEngine) -> Health:
    """Whether the engine works; does not keep an idle one awake."""
    unfinished = engine.store.jobs.count_unfinished()
    return Health(status="ok", version=__version__, pid=os.getpid(), unfinished_jobs=unfinished)
