"""Deletes expired files and uploads, unfinished files of a killed engine, and unused models."""

import contextlib
import shutil

from ftops import crashpoints
from ftops.engine.ids import result_file_id
from ftops.engine.settings import CHECKPOINTS, EngineFolder
from ftops.engine.store import Store
from ftops.files import remove_parts


def delete_expired(store: Store, paths: EngineFolder) -> None:
    """Delete expired files and uploads; jobs that use the files have their own links.

    Called before every read of files and uploads, so that no response has expired ones.
    """
    now = store.now()
    for file_id in store.files.delete_expired(now):
        paths.file(file_id).unlink(missing_ok=True)
    for upload_id in store.uploads.expire(now):
        shutil.rmtree(paths.upload(upload_id), ignore_errors=True)


def delete_stale_files(store: Store, paths: EngineFolder) -> None:
    """Delete unfinished uploads, and files without a row: a killed engine may leave both."""
    delete_expired(store, paths)
    pending = store.uploads.list_pending_ids()
    for path in paths.uploads.iterdir():
        if path.name not in pending:
            shutil.rmtree(path, ignore_errors=True)
    for path in paths.incoming.iterdir():
        path.unlink(missing_ok=True)
    known = store.files.list_ids()
    known |= {result_file_id(job.id) for job in store.jobs.list_unfinished()}
    for path in paths.files.iterdir():
        # A hidden one is a results file that a worker is writing.
        if path.name not in known and not path.name.startswith("."):
            path.unlink(missing_ok=True)
    for final in (paths.address, paths.last_port, paths.token):
        remove_parts(final)
    for path in paths.jobs.iterdir():
        if store.jobs.find(path.name) is None:
            shutil.rmtree(path, ignore_errors=True)


def delete_unused_models(store: Store, folder: EngineFolder) -> None:
    """Delete the folders of deleted models that no unfinished job starts from."""
    for row in store.models.list_removable():
        crashpoints.reach("engine.models.before_removal")
        shutil.rmtree(folder.model(row.job_id, row.step), ignore_errors=True)
        for emptied in (folder.model(row.job_id) / CHECKPOINTS, folder.model(row.job_id)):
            with contextlib.suppress(OSError):  # missing, or not empty
                emptied.rmdir()
