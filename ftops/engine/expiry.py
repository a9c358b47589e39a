"""What is over goes away: files that were to live for a while only, and uploads left unfinished.

Asked before every look at files and uploads, so that no answer shows what has expired.
"""

import shutil

from ftops.engine.settings import EngineFolder
from ftops.engine.store import Store


def drop_expired(store: Store, paths: EngineFolder) -> None:
    """Remove the files whose time is over; jobs that were created with them keep what they need."""
    now = store.now()
    for file_id in store.files.take_expired(now):
        paths.file(file_id).unlink(missing_ok=True)
    for upload_id in store.uploads.expire(now):
        shutil.rmtree(paths.upload(upload_id), ignore_errors=True)
