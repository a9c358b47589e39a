"""Whether a job's files can be trained on, before it waits for a worker."""

import logging
import threading
from pathlib import Path

from ftops import crashpoints
from ftops.engine.hyperparameters import read_hyperparameters
from ftops.engine.settings import MEBIBYTE, EngineFolder, JobFolder
from ftops.engine.store import JobRow, NewEvent, Store
from ftops.engine.training_file import FileSummary, InvalidTrainingFile, check_file
from ftops.records import Method


class _Refused(Exception):
    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


def validate_job(job: JobRow, folder: JobFolder, store: Store) -> bool:
    """Read the job's files; the job is then queued (True), or failed with the line and reason."""
    try:
        store.add_events(job.id, NewEvent("checking", _announcement(job)))
        crashpoints.reach("engine.queue.while_checking")
        training = _check("training_file", folder.training)
        if not job.method.takes(training.format):
            raise _Refused("training_file", _wrong_rows(job.method, training))
        validation = None
        if job.validation_file is not None:
            validation = _check("validation_file", folder.validation)
            if validation.format is not training.format:
                raise _Refused(
                    "validation_file",
                    f"it holds {validation.format} rows, the training file {training.format} rows",
                )
        _check_classes(job, training, validation)
    except _Refused as refused:
        file_id = job.training_file if refused.param == "training_file" else job.validation_file
        message = f"The {refused.param.replace('_', ' ')} {file_id} cannot be used: {refused}"
        store.fail(job.id, f"invalid_{refused.param}", message, refused.param)
        return False
    rows = f"{training.rows} training rows"
    if validation is not None:
        rows += f", {validation.rows} validation rows"
    message = f"Files are good ({rows}). Job queued."
    with store.transaction():
        if not store.enqueue(job.id):
            return False
        position = [waiting.id for waiting in store.jobs.list_queue()].index(job.id)
        store.add_events(job.id, NewEvent("queued", message, data={"queue_position": position}))
    return True


def _announcement(job: JobRow) -> str:
    if job.validation_file is None:
        return f"Checking training file {job.training_file}."
    return f"Checking training file {job.training_file} and validation file {job.validation_file}."


def _wrong_rows(method: Method, found: FileSummary) -> str:
    wanted = "messages, or prompt and completion"
    if method is Method.DPO:
        wanted = "input, preferred_output and non_preferred_output"
    return f"line 1: a {found.format} row; the method {method} learns of rows with {wanted}"


def _check(param: str, path: Path) -> FileSummary:
    try:
        return check_file(path)
    except InvalidTrainingFile as problem:
        raise _Refused(param, str(problem)) from None
    except OSError as error:
        raise _Refused(param, f"it cannot be read: {error.strerror}") from error


def _check_classes(job: JobRow, training: FileSummary, validation: FileSummary | None) -> None:
    classes = read_hyperparameters(job.hyperparameters).classes
    if classes is None or validation is None:
        return
    if training.answers is None or validation.answers is None:
        raise _Refused("training_file", "too many different completions for classification metrics")
    names = training.answers | validation.answers
    wanted = 2 if classes.positive is not None else classes.n_classes
    if wanted is not None and len(names) > wanted:
        raise _Refused(
            "training_file",
            f"the files hold {len(names)} different completions, but {wanted} classes are said",
        )
    if classes.positive is not None and classes.positive.strip() not in names:
        raise _Refused(
            "training_file",
            f"no row has the completion {classes.positive!r} (classification_positive_class)",
        )


UPLOADED, PROCESSED, ERROR = "uploaded", "processed", "error"
SMALL_BYTES = 4 * MEBIBYTE
_log = logging.getLogger(__name__)


def validate_file(path: Path) -> tuple[str, str | None]:
    """The file's status, and what is wrong with it."""
    try:
        check_file(path)
    except InvalidTrainingFile as problem:
        return ERROR, str(problem)
    return PROCESSED, None


class FileValidator:
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
            for row in self._store.files.list_in_status(UPLOADED):
                if self._stopping:
                    break
                try:
                    status, details = validate_file(self._paths.file(row.id))
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
