"""Every error that ftops raises on purpose.

    FtopsError
    ├── UsageError             an option has an invalid value
    ├── SpecError              the job file is invalid
    ├── DatasetError           a data file is invalid
    ├── ScoringError           a metric cannot be measured
    ├── ModelsFileError        the user's own `models.toml` is invalid
    ├── ProviderError          a request to the provider failed
    │   ├── AuthFailed             401, or no key to send
    │   ├── PermissionRefused      403, and 402: no money left
    │   ├── NotFound               404: no such file, job or model
    │   ├── Rejected               400, 409, 413, 415, 422, 501 to a read: final
    │   ├── RateLimited            429
    │   ├── Unavailable            408, every other 5xx, and 409 to a read
    │   ├── Unreachable            no response: refused, reset, timed out
    │   └── InvalidResponse        a response that does not follow the API
    ├── NotTrusted             a key may not go to an address: it was not approved
    ├── LedgerError            the ledger cannot be read or written
    │   ├── LedgerTooNew           written by a later ftops
    │   └── UnknownRun             no run, job or model by that name
    ├── RunError               the run cannot continue
    │   ├── RunBusy                another process drives it
    │   ├── JobFailed              the provider's job failed or was cancelled
    │   │   └── JobCancelled           it was cancelled
    │   ├── RequirementMissed      `evaluate.require` is not met; the model is kept
    │   ├── LimitExceeded          `limits:` of the job file would be exceeded
    │   └── WaitedTooLong          `limits.max_wait` is over; the job itself continues
    │       └── JobStalled             no sign of a running job for `limits.stall`
    ├── NotifyFailed           a notification was not delivered
    ├── ExportFailed           a tool of `export:` did not get a run
    ├── EngineError            the built-in engine cannot do its work
    │   ├── EngineNotRunning
    │   └── PortTaken
    └── StorageError           full disk, read-only folder, no permission

Each message says what happened and where; `hint` says the next step, with `JOB.yaml` for the path
of the job file, which `ftops.cli` fills in. Only `ftops.cli` turns an error into text and an exit
code.
"""

import copy
from typing import Self

_REFUSALS = frozenset({400, 401, 403, 404, 413, 415, 422})  # of a request, for its content


class FtopsError(Exception):
    """Base of the tree; `hint` is the next action, shown on a separate line."""

    hint: str = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        if hint:
            self.hint = hint


class UsageError(FtopsError):
    """An option of the command line has an invalid value; the message names it."""

    hint = "Add --help to the command to see its options."


class SpecError(FtopsError):
    """The job file is invalid; the message lists every problem with file, line and column."""

    hint = "Fix the job file; `ftops check JOB.yaml` checks it and sends nothing."


class DatasetError(FtopsError):
    """A data file is invalid; the message names the file and the lines."""

    hint = "Fix these rows; `ftops check JOB.yaml` checks the data and sends nothing."


class ScoringError(FtopsError):
    """A metric cannot be measured: a package is missing, or the metric's file is invalid."""

    hint = "Fix that file, or remove the metric from the job file."


class ModelsFileError(FtopsError):
    """The user's `models.toml` is invalid; the message names the lines and what is expected."""

    hint = "Fix that file, or remove it to use the built-in prices and limits (docs/prices.md)."


class ProviderError(FtopsError):
    """The provider refused a request, or did not respond.

    `status` is the HTTP status (None without a response), `code` and `param` are the API's own,
    `request_id` identifies the request for the provider's support, and `retry_after_s` is the pause
    that the provider requests, in seconds. `final` is True when a retry would fail, too.
    `unrecognized` is True when the body is not the API's error object: a proxy, or another program
    at that address, may have responded.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        final: bool = False,
        unrecognized: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.param = param
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.final = final
        self.unrecognized = unrecognized

    @property
    def is_refusal(self) -> bool:
        """Whether the request certainly had no effect: refused for its content, or not sent."""
        if isinstance(self, RateLimited | Unavailable | Unreachable | InvalidResponse):
            return False
        return self.status is None or (self.status in _REFUSALS and not self.unrecognized)

    def reworded(self, message: str, hint: str) -> Self:
        """The same error with another message and another hint."""
        error = copy.copy(self)
        error.args, error.message, error.hint = (message,), message, hint or type(self).hint
        return error


class AuthFailed(ProviderError):
    """The key is missing or was refused."""

    hint = "Set the key in the environment variable that `api_key_env` of the provider names."


class PermissionRefused(ProviderError):
    """The key is valid, but has no permission for this."""

    hint = "Request the permission at the provider, or name another provider in the job file."


class NotFound(ProviderError):
    """The provider has no such file, job or model."""

    hint = "`ftops models list`, `ftops files list` and `ftops runs` list what exists."


class Rejected(ProviderError):
    """The provider refuses the request; sending it again changes nothing."""


class RateLimited(ProviderError):
    """The provider limits the rate of requests."""

    hint = "Wait, then run the same command again: it continues where it stopped."


class Unavailable(ProviderError):
    """The provider cannot serve requests now."""

    hint = "Run the same command again later: it continues where it stopped."


class Unreachable(ProviderError):
    """No response: the connection was refused, reset or timed out."""

    hint = (
        "Check the network and the provider's address, then run the same command again:"
        " it continues where it stopped."
    )


class InvalidResponse(ProviderError):
    """The response does not follow the API."""

    hint = "Check `base_url`: the server there does not seem to be a fine-tuning API."


class NotTrusted(FtopsError):
    """A key would go to an address from a job file that the user has not approved."""


class LedgerError(FtopsError):
    """The ledger cannot be read or written."""

    hint = "Run the command again; if that fails too, `ftops restore FILE` restores a backup."


class LedgerTooNew(LedgerError):
    """A later ftops wrote this ledger."""

    hint = "Upgrade ftops, or point FTOPS_HOME at another folder."


class UnknownRun(LedgerError):
    """The ledger has no run, job or model by that name."""

    hint = "`ftops runs` lists all runs."


class RunError(FtopsError):
    """The run cannot continue."""


class RunBusy(RunError):
    """Another process drives this run."""


class JobFailed(RunError):
    """The provider's job failed or was cancelled."""


class JobCancelled(JobFailed):
    """The provider's job was cancelled, or the run was before it had a job."""


class RequirementMissed(RunError):
    """A requirement of `evaluate.require` is not met; the message names each of them."""

    hint = "The model is kept; `evaluate.require` in the job file has the requirements."


class LimitExceeded(RunError):
    """A limit under `limits:` in the job file would be exceeded; nothing was sent."""

    hint = "Raise the limit in the job file, or make the job smaller."


class WaitedTooLong(RunError):
    """`limits.max_wait` is over; the job continues at the provider."""


class JobStalled(WaitedTooLong):
    """No sign of a running job for `limits.stall`; nothing was cancelled or sent again."""


class NotifyFailed(FtopsError):
    """A command or address of `notify:` did not get a notification; the run is unchanged."""


class ExportFailed(FtopsError):
    """A tool of `export:` did not get the run; the run is unchanged."""

    hint = "The run is intact; run `ftops export` again."


class EngineError(FtopsError):
    """The built-in engine cannot do its work."""


class EngineNotRunning(EngineError):
    """No built-in engine is running."""

    hint = "`ftops serve` starts it in the foreground; `ftops run` starts it when it is needed."


class PortTaken(EngineError):
    """Another program listens on the port."""

    hint = "Choose another port with `ftops serve --port N`, or omit the option to use a free one."


class StorageError(FtopsError):
    """The disk is full, or the folder may not be written."""

    hint = "Free some space or fix the permissions, then run the same command again."
