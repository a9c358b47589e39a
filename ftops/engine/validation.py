"""Validation of training files: on upload, and again for each job before it is queued.

Small files are validated during the upload; larger ones by a thread in the background, so that the
response to an upload is sent once its bytes are on the disk. An invalid file is kept: its status
has the reason, and a job that uses it fails with the same one.
"""

import logging
import threading
from pathlib import Path

from ftops import crashpoints
from ftops.engine.hyperparameters import read_hyperparameters
from ftops.engine.settings import MEBIBYTE, EngineFolder
from ftops.engine.store import JobRow, NewEvent, Store
from ftops.engine.trainer_registry import list_bases
from ftops.engine.training_file import FileSummary, InvalidTrainingFile, check_file
from ftops.records import Method

_MAX_SUMMARIES = 256
_MAX_ANSWER_CHARS = 100_000  # a summary with longer answers is not kept
UPLOADED, PROCESSED, ERROR = "uploaded", "processed", "error"
SMALL_BYTES = 4 * MEBIBYTE
_log = logging.getLogger(__name__)


class _InvalidJob(Exception):
    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class FileSummaries:
    """Checks each training file only once: jobs train on links to uploaded files."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._summaries: dict[tuple[int, ...], FileSummary] = {}

    def check(self, path: Path) -> FileSummary:
        """Summarize the file; InvalidTrainingFile when it cannot be trained on."""
        status = path.stat()
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            if identity in self._summaries:
                return self._summaries[identity]
        summary = check_file(path)
        if sum(map(len, summary.answers or ())) <= _MAX_ANSWER_CHARS:
            with self._lock:
                if len(self._summaries) >= _MAX_SUMMARIES:
                    del self._summaries[next(iter(self._summaries))]
                self._summaries[identity] = summary
        return summary


def validate_job(job: JobRow, paths: EngineFolder, store: Store, summaries: FileSummaries) -> bool:
    """Validate the job's files, then queue the job (True) or fail it with the line and reason."""
    folder = paths.job(job.id)
    try:
        store.add_events(job.id, NewEvent("checking", _describe_files(job)))
        crashpoints.reach("engine.queue.while_checking")
        training = _check(summaries, "training_file", folder.training)
        if not job.method.takes(training.format):
            raise _InvalidJob("training_file", _explain_format(job.method, training))
        validation = None
        if job.validation_file is not None:
            validation = _check(summaries, "validation_file", folder.validation)
            if validation.format is not training.format:
                reason = f"it has {validation.format} rows; the training file has {training.format}"
                raise _InvalidJob("validation_file", f"{reason} rows")
        base = list_bases(paths).get(job.base)
        if base is None or not base.tools:
            _refuse_tools("training_file", training)
            if validation is not None:
                _refuse_tools("validation_file", validation)
        _check_classes(job, training, validation)
    except _InvalidJob as invalid:
        file_id = job.training_file if invalid.param == "training_file" else job.validation_file
        message = f"The {invalid.param.replace('_', ' ')} {file_id} cannot be used: {invalid}"
        store.fail(job.id, f"invalid_{invalid.param}", message, invalid.param)
        return False
    rows = f"{training.rows} training rows"
    if validation is not None:
        rows += f", {validation.rows} validation rows"
    message = f"Files are valid ({rows}). Job queued."
    with store.transaction():
        if not store.enqueue(job.id):
            return False
        position = [waiting.id for waiting in store.jobs.list_queue()].index(job.id)
        store.add_events(job.id, NewEvent("queued", message, data={"queue_position": position}))
    return True


def _describe_files(job: JobRow) -> str:
    if job.validation_file is None:
        return f"Checking training file {job.training_file}."
    return f"Checking training file {job.training_file} and validation file {job.validation_file}."


def _explain_format(method: Method, summary: FileSummary) -> str:
    expected = "messages, or prompt and completion"
    if method is Method.DPO:
        expected = "input, preferred_output and non_preferred_output"
    return f"line 1: a {summary.format} row; the method {method} needs rows with {expected}"


def _check(summaries: FileSummaries, param: str, path: Path) -> FileSummary:
    try:
        return summaries.check(path)
    except InvalidTrainingFile as problem:
        raise _InvalidJob(param, str(problem)) from None
    except OSError as error:
        raise _InvalidJob(param, f"it cannot be read: {error.strerror}") from error


def _refuse_tools(param: str, summary: FileSummary) -> None:
    if summary.tools_line is not None:
        reason = f"line {summary.tools_line}: the row has tools, and the base model has no template"
        raise _InvalidJob(param, f"{reason} for them")


def _check_classes(job: JobRow, training: FileSummary, validation: FileSummary | None) -> None:
    classes = read_hyperparameters(job.hyperparameters).classes
    if classes is None or validation is None:
        return
    if training.answers is None or validation.answers is None:
        reason = "too many different completions for classification metrics"
        raise _InvalidJob("training_file", reason)
    names = training.answers | validation.answers
    n_classes = 2 if classes.positive is not None else classes.n_classes
    if n_classes is not None and len(names) > n_classes:
        reason = f"the files have {len(names)} different completions for {n_classes} classes"
        raise _InvalidJob("training_file", reason)
    if classes.positive is not None and classes.positive.strip() not in names:
        raise _InvalidJob(
            "training_file",
            f"no row has the completion {classes.positive!r} (classification_positive_class)",
        )


def validate_file(path: Path, summaries: FileSummaries) -> tuple[str, str | None]:
    """The file's status, and the reason if it is invalid."""
    try:
        summaries.check(path)
    except InvalidTrainingFile as problem:
        return ERROR, str(problem)
    return PROCESSED, None


class FileValidator:
    """Validates uploaded files in a thread that runs while there are any."""

    def __init__(self, store: Store, paths: EngineFolder, summaries: FileSummaries) -> None:
        self.summaries = summaries
        self._store = store
        self._paths = paths
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._has_new_files = False
        self._stopping = False

    def wake(self) -> None:
        """Start the thread for a new file, if it is not running."""
        with self._lock:
            self._has_new_files = True
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="validator", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Wait for the current file; the others are left to the next start."""
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
                    status, details = validate_file(self._paths.file(row.id), self.summaries)
                except OSError as error:  # deleted meanwhile, or a disk that fails
                    _log.warning("%s: cannot be validated: %s", row.id, error)
                    status, details = ERROR, f"it cannot be read: {error.strerror}"
                self._store.files.set_status(row.id, status, details)

    def _has_work(self) -> bool:
        with self._lock:
            if self._has_new_files and not self._stopping:
                self._has_new_files = False
                return True
            self._thread = None
            return False
