"""The engine's memory: one SQLite file, one class a table, one transaction a change."""

from ftops.engine.store.database import Database
from ftops.engine.store.events import EventRow, EventTable, NewEvent
from ftops.engine.store.files import FileRow, FileTable
from ftops.engine.store.jobs import JobRow, JobStatus, JobTable
from ftops.engine.store.keys import KeyRow, KeyTable
from ftops.engine.store.models import ModelRow, ModelTable
from ftops.engine.store.own import OwnStore, Usage
from ftops.engine.store.store import Store
from ftops.engine.store.uploads import PartRow, UploadRow, UploadStatus, UploadTable

__all__ = [
    "Database",
    "EventRow",
    "EventTable",
    "FileRow",
    "FileTable",
    "JobRow",
    "JobStatus",
    "JobTable",
    "KeyRow",
    "KeyTable",
    "ModelRow",
    "ModelTable",
    "NewEvent",
    "OwnStore",
    "PartRow",
    "Store",
    "UploadRow",
    "UploadStatus",
    "UploadTable",
    "Usage",
]
