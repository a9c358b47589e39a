"""Looks at uploaded files: whether a job could train on them, and which line is wrong if not.

Small files are looked at while they are taken in; larger ones by a thread in the background, so
that an upload is answered when its bytes are safe. A bad file is kept: its status says why, and a
job that takes it fails with the same words.
"""

import logging
import threading
from pathlib import Path

from ftops.engine.rows import BadFile, check_file
from ftops.engine.settings import MEBIBYTE, EngineFolder
from ftops.engine.store import Store

UPLOADED, PROCESSED, ERROR = "uploaded", "processed", "error"
SMALL_BYTES = 4 * MEBIBYTE
_log = logging.getLogger(__name__)


def inspect_file(path: Path) -> tuple[str, str | None]:
    """The file's status, and what is wrong with it."""
    try:
        check_file(path)
    except BadFile as problem:
        return ERROR, str(problem)
    return PROCESSED, None


class Inspector:
    """Looks at the files that nobody has looked at; its thread lives while there are any."""

    def __init__(self, store: Store, paths: EngineFolder) -> None:
        self._store = store
        self._paths = paths
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._again = False
        self._stopping = False

    def wake(self) -> None:
        """There may be a new file."""
        with self._lock:
            self._again = True
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="inspector", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Wait for the file that is being looked at; the others wait for the next start."""
        with self._lock:
            self._stopping = True
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while self._has_work():
            for row in self._store.files.in_status(UPLOADED):
                if self._stopping:
                    break
                try:
                    status, details = inspect_file(self._paths.file(row.id))
                except OSError as error:  # deleted meanwhile, or a disk that fails
                    _log.warning("%s: cannot be looked at: %s", row.id, error)
                    status, details = ERROR, f"it cannot be read: {error.strerror}"
                self._store.files.set_status(row.id, status, details)

    def _has_work(self) -> bool:
        with self._lock:
            if self._again and not self._stopping:
                self._again = False
                return True
            self._thread = None
            return False
