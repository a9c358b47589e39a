"""What the endpoints work with, handed to the app as one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from ftops.engine.generation import Generation
from ftops.engine.inspection import Inspector
from ftops.engine.news import News
from ftops.engine.scheduler import Scheduler
from ftops.engine.security import Activity
from ftops.engine.settings import EngineFolder, EngineSettings
from ftops.engine.store import Store


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts of a running engine; `list_bases` names the base models and their sizes."""

    settings: EngineSettings
    token: str
    store: Store
    scheduler: Scheduler
    generation: Generation
    inspector: Inspector
    activity: Activity
    news: News
    list_bases: Callable[[], Mapping[str, int]]

    @property
    def paths(self) -> EngineFolder:
        return self.settings.paths


async def _engine_of(request: Request) -> Engine:  # async: no thread for it
    engine: Engine = request.app.state.engine
    return engine


TheEngine = Annotated[Engine, Depends(_engine_of)]
