"""The engine's database: one SQLite file, a class for each table, a transaction for each change."""

from ftops.engine.store.files import FileRow, PartRow, UploadRow, UploadStatus
from ftops.engine.store.jobs import EventRow, JobRow, JobStatus, NewEvent
from ftops.engine.store.models import ModelRow
from ftops.engine.store.store import KeyRow, StorageUsage, Store, TenantStore

__all__ = [
    "EventRow",
    "FileRow",
    "JobRow",
    "JobStatus",
    "KeyRow",
    "ModelRow",
    "NewEvent",
    "PartRow",
    "StorageUsage",
    "Store",
    "TenantStore",
    "UploadRow",
    "UploadStatus",
]
