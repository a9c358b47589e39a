"""How much is taken at once: told in the headers of every answer that counts, 429 beyond it."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ftops.engine.api.errors import ApiError
from ftops.engine.ids import LOCAL_OWNER
from ftops.engine.settings import EngineFolder, EngineSettings
from ftops.engine.store import TenantStore


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A limit on what is under way, and how much of it is taken."""

    limit: int
    taken: int
    retry_after_s: int  # when it makes sense to ask again

    def headers(self) -> dict[str, str]:
        """The API's rate limit headers, as they are before the request that asks."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(max(0, self.limit - self.taken)),
            "x-ratelimit-reset-requests": f"{self.retry_after_s}s",
        }

    def check(self, what: str, advice: str = "Try again later") -> None:
        """429 when nothing more is taken."""
        if self.taken >= self.limit:
            message = f"{self.limit} {what} already: no more are taken now. {advice}."
            headers = {**self.headers(), "retry-after": str(self.retry_after_s)}
            raise ApiError(429, message, code="rate_limit_exceeded", headers=headers)


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
    def reserved(self, store: TenantStore, n_bytes: int) -> Iterator[None]:
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

    def check_upload(self, store: TenantStore, n_bytes: int) -> None:
        """ApiError when an upload of that size may not be begun; called in its transaction."""
        pending = store.measure().pending_uploads
        RateLimit(self._settings.max_pending_uploads, pending, _RETRY_UPLOAD_S).check(
            "uploads are pending", "Complete or cancel some of them"
        )
        self._check_bytes(store, n_bytes)

    def check_part(self, store: TenantStore, n_bytes: int) -> None:
        """ApiError when an upload may not have so many bytes more than it announced."""
        if n_bytes > 0:
            self._check_bytes(store, n_bytes)

    def check_job(self, store: TenantStore) -> None:
        """ApiError when nothing more can be kept, a model included, or the queue is full."""
        self.rate_jobs(store).check("jobs are unfinished", "Wait until one has ended, or cancel it")
        self._check_bytes(store, 1)

    def rate_jobs(self, store: TenantStore) -> RateLimit:
        """How many unfinished jobs the owner may have, and has.

        The engine's own user has a larger limit: `ftops run --all` asks for a hundred at once.
        """
        limit = self._settings.max_jobs_per_owner
        if store.owner != LOCAL_OWNER:
            limit = min(limit, self._settings.max_jobs_per_key)
        return RateLimit(limit, store.jobs.count_unfinished(), _RETRY_JOB_S)

    def _check_bytes(self, store: TenantStore, n_bytes: int) -> None:
        limit = self._settings.max_stored_bytes
        stored = measure_bytes(store, self._settings.paths) + self._coming_bytes[store.owner]
        if stored + n_bytes > limit:
            what = f"{limit:,} stored bytes (there are {stored:,})"
            raise _no_room(what, "storage_limit_exceeded")


def measure_bytes(store: TenantStore, paths: EngineFolder) -> int:
    """What the owner has stored, in bytes."""
    total = store.measure().bytes
    total += sum(
        _measure_folder(paths.model(job_id, step)) for job_id, step in store.models.list_folders()
    )
    for job in store.jobs.list_unfinished():
        folder = paths.job(job.id)
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
