"""Rate limits and storage quotas of each owner: reported in response headers, enforced with 429.

Stored bytes are those of files, of pending uploads (as announced, or received if more), of models
with their checkpoints, and of the data of unfinished jobs whose files were deleted.
"""

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
    """A limit of concurrent requests or jobs, and the current number of them."""

    limit: int
    used: int
    retry_after_s: int  # for clients

    def headers(self) -> dict[str, str]:
        """The API's rate limit headers, without the current request."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(max(0, self.limit - self.used)),
            "x-ratelimit-reset-requests": f"{self.retry_after_s}s",
        }

    def check(self, what: str, advice: str = "Try again later") -> None:
        """ApiError 429 when the limit is reached."""
        if self.used >= self.limit:
            message = f"Rate limit reached: {self.limit} {what}. {advice}."
            headers = {**self.headers(), "retry-after": str(self.retry_after_s)}
            raise ApiError(429, message, code="rate_limit_exceeded", headers=headers)


_RETRY_UPLOAD_S = 10
_RETRY_JOB_S = 30


class Quotas:
    """The limits of an engine, and the files that it is receiving."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._incoming: Counter[str] = Counter()  # files by owner
        self._incoming_bytes: Counter[str] = Counter()

    @contextmanager
    def reserved(self, store: TenantStore, n_bytes: int) -> Iterator[None]:
        """Reserve storage for a file while it is received; ApiError beyond the quota."""
        owner = store.owner
        with self._lock:
            usage = store.measure()
            if usage.files + self._incoming[owner] >= self._settings.max_files:
                raise _quota_exceeded(f"{self._settings.max_files:,} files", "file_limit_exceeded")
            self._check_bytes(store, n_bytes)
            self._incoming[owner] += 1
            self._incoming_bytes[owner] += n_bytes
        try:
            yield
        finally:
            with self._lock:
                self._incoming[owner] -= 1
                self._incoming_bytes[owner] -= n_bytes

    def check_upload(self, store: TenantStore, n_bytes: int) -> None:
        """ApiError for an upload beyond the quota; called in its transaction."""
        pending = store.measure().pending_uploads
        RateLimit(self._settings.max_pending_uploads, pending, _RETRY_UPLOAD_S).check(
            "uploads are pending", "Complete or cancel some of them"
        )
        self._check_bytes(store, n_bytes)

    def check_part(self, store: TenantStore, n_bytes: int) -> None:
        """ApiError when a part exceeds the quota by the bytes that were not announced."""
        if n_bytes > 0:
            self._check_bytes(store, n_bytes)

    def check_job(self, store: TenantStore) -> None:
        """ApiError when the owner has too many jobs or bytes."""
        self.rate_jobs(store).check("jobs are unfinished", "Wait until one has ended, or cancel it")
        self._check_bytes(store, 1)

    def rate_jobs(self, store: TenantStore) -> RateLimit:
        """The limit of unfinished jobs, which is larger for the engine's own user."""
        limit = self._settings.max_jobs_per_owner
        if store.owner != LOCAL_OWNER:
            limit = min(limit, self._settings.max_jobs_per_key)
        return RateLimit(limit, store.jobs.count_unfinished(), _RETRY_JOB_S)

    def _check_bytes(self, store: TenantStore, n_bytes: int) -> None:
        limit = self._settings.max_stored_bytes
        stored = measure_bytes(store, self._settings.paths) + self._incoming_bytes[store.owner]
        if stored + n_bytes > limit:
            what = f"{limit:,} stored bytes (there are {stored:,})"
            raise _quota_exceeded(what, "storage_limit_exceeded")


def measure_bytes(store: TenantStore, paths: EngineFolder) -> int:
    """The bytes that the owner stores."""
    total = store.measure().bytes
    total += sum(
        _measure_folder(paths.model(job_id, step)) for job_id, step in store.models.list_folders()
    )
    for job in store.jobs.list_unfinished():
        folder = paths.job(job.id)
        for path in (folder.training, folder.validation):
            with suppress(OSError):
                stat = path.stat()
                total += stat.st_size if stat.st_nlink == 1 else 0  # else it is counted as a file
    return total


@lru_cache(maxsize=100_000)
def _measure_folder(path: Path) -> int:
    """The bytes of the files in a folder, cached: a published model does not change."""
    try:
        return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    except OSError:
        return 0


def _quota_exceeded(limit: str, code: str) -> ApiError:
    message = (
        f"Quota exceeded: the limit is {limit}. Delete files or models; the engine's operator sets "
        "the limits (`ftops serve --help`)."
    )
    return ApiError(429, message, code=code, headers={"x-should-retry": "false"})
