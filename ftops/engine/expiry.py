"""What is over goes away: files that were to live for a while only.

Asked before every look at files, so that no answer shows one that has expired.
"""

from ftops.engine.settings import EngineFolder
from ftops.engine.store import Store


def drop_expired(store: Store, paths: EngineFolder) -> None:
    """Remove the files whose time is over; jobs that were created with them keep what they need."""
    for file_id in store.files.take_expired(store.now()):
        paths.file(file_id).unlink(missing_ok=True)
