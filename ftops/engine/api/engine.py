"""The services of an engine, and their view for the owner of a request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from ftops.engine.api.quotas import Quotas
from ftops.engine.cleanup import delete_expired, delete_unused_models
from ftops.engine.event_notifier import EventNotifier
from ftops.engine.generation import ModelPool
from ftops.engine.keys import OWNER
from ftops.engine.scheduler import Scheduler
from ftops.engine.security import Activity
from ftops.engine.settings import EngineFolder, EngineSettings
from ftops.engine.store import Store, TenantStore
from ftops.engine.trainer_registry import BaseInfo
from ftops.engine.upload_assembly import UploadAssembler
from ftops.engine.validation import FileValidator


@dataclass(frozen=True, slots=True)
class EngineServices:
    """The services of a running engine; `list_bases` returns the base models."""

    settings: EngineSettings
    token: str
    store: Store
    scheduler: Scheduler
    model_pool: ModelPool
    file_validator: FileValidator
    activity: Activity
    event_notifier: EventNotifier
    upload_assembler: UploadAssembler
    quotas: Quotas
    list_bases: Callable[[], Mapping[str, BaseInfo]]

    @property
    def paths(self) -> EngineFolder:
        return self.settings.paths


class Engine:
    """The engine for a request; `store` has only the rows of one owner."""

    def __init__(self, parts: EngineServices, store: TenantStore) -> None:
        self._parts = parts
        self.store = store
        self.settings = parts.settings
        self.paths = parts.paths
        self.scheduler = parts.scheduler
        self.model_pool = parts.model_pool
        self.file_validator = parts.file_validator
        self.event_notifier = parts.event_notifier
        self.upload_assembler = parts.upload_assembler
        self.quotas = parts.quotas
        self.list_bases = parts.list_bases

    @property
    def owner(self) -> str:
        return self.store.owner

    def delete_expired(self) -> None:
        """Delete the expired files and uploads of all owners."""
        delete_expired(self._parts.store, self.paths)

    def delete_unused_models(self) -> None:
        """Delete the folders of deleted models, of all owners, that no job uses."""
        delete_unused_models(self._parts.store, self.paths)


async def _engine_of(request: Request) -> Engine:  # async: runs without a thread
    parts: EngineServices = request.app.state.engine
    return Engine(parts, parts.store.of(request.scope[OWNER]))


EngineDependency = Annotated[Engine, Depends(_engine_of)]
