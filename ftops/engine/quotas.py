"""How much the holder of one key may have in an engine, and what is said when it is too much.

Stored bytes are files, uploads under way (as announced, or what came when that is more), models
with their checkpoints, and the data of unfinished jobs whose files were deleted.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from ftops.engine.api.failures import ApiError
from ftops.engine.api.rates import Rate
from ftops.engine.ids import LOCAL_OWNER
from ftops.engine.settings import EngineFolder, EngineSettings
from ftops.engine.store import OwnStore

_RETRY_UPLOAD_S = 10
_RETRY_JOB_S = 30


class Quotas:
    """The limits of an engine, and the files that are on their way into it."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._coming: Counter[str] = Counter()  # files that are being received, by owner
        self._coming_bytes: Counter[str] = Counter()

    @contextmanager
    def reserved(self, store: OwnStore, n_bytes: int) -> Iterator[None]:
        """Room for a file of that size while it is received; ApiError when there is none."""
        owner = store.owner
        with self._lock:
            usage = store.measure()
            if usage.files + self._coming[owner] >= self._settings.max_files:
                raise _no_room(f"{self._settings.max_files:,} files", "file_limit_exceeded")
            self._check_bytes(store, n_bytes)
            self._coming[owner] += 1
            self._coming_bytes[owner] += n_bytes
        try:
            yield
        finally:
            with self._lock:
                self._coming[owner] -= 1
                self._coming_bytes[owner] -= n_bytes

    def check_upload(self, store: OwnStore, n_bytes: int) -> None:
        """ApiError when an upload of that size may not be begun; called in its transaction."""
        pending = store.measure().pending_uploads
        Rate(self._settings.max_pending_uploads, pending, _RETRY_UPLOAD_S).check(
            "uploads are pending", "Complete or cancel some of them"
        )
        self._check_bytes(store, n_bytes)

    def check_part(self, store: OwnStore, n_bytes: int) -> None:
        """ApiError when an upload may not have so many bytes more than it announced."""
        if n_bytes > 0:
            self._check_bytes(store, n_bytes)

    def check_job(self, store: OwnStore) -> None:
        """ApiError when nothing more can be kept, a model included, or the queue is full."""
        self.rate_jobs(store).check("jobs are unfinished", "Wait until one has ended, or cancel it")
        self._check_bytes(store, 1)

    def rate_jobs(self, store: OwnStore) -> Rate:
        """How many unfinished jobs the owner may have, and has.

        The engine's own user has a larger limit: `ftops run --all` asks for a hundred at once.
        """
        limit = self._settings.max_unfinished_jobs
        if store.owner != LOCAL_OWNER:
            limit = min(limit, self._settings.max_queued_jobs)
        return Rate(limit, store.jobs.count_unfinished(), _RETRY_JOB_S)

    def _check_bytes(self, store: OwnStore, n_bytes: int) -> None:
        limit = self._settings.max_stored_bytes
        stored = measure_bytes(store, self._settings.paths) + self._coming_bytes[store.owner]
        if stored + n_bytes > limit:
            what = f"{limit:,} stored bytes (there are {stored:,})"
            raise _no_room(what, "storage_limit_exceeded")


def measure_bytes(store: OwnStore, paths: EngineFolder) -> int:
    """What the owner has stored, in bytes."""
    total = store.measure().bytes
    total += sum(_measure_folder(paths.model(job_id, step)) for job_id, step in store.models.kept())
    for job_id in store.jobs.list_unfinished():
        folder = paths.job(job_id)
        for path in (folder.training, folder.validation):
            with suppress(OSError):
                found = path.stat()
                total += found.st_size if found.st_nlink == 1 else 0  # else it is a file's, too
    return total


@lru_cache(maxsize=100_000)
def _measure_folder(path: Path) -> int:
    """The files that stand right in it; a published model does not change."""
    try:
        return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    except OSError:
        return 0


def _no_room(limit: str, code: str) -> ApiError:
    message = (
        f"This key may have {limit}. Delete files or models that are not needed; the engine's "
        "owner sets the limits (`ftops serve --help`)."
    )
    return ApiError(429, message, code=code, headers={"x-should-retry": "false"})
