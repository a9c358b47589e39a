"""Every error that ftops raises on purpose.

    FtopsError
    ├── UsageError             an option has a value that cannot be used
    ├── SpecError              the job file is wrong
    ├── DatasetError           a data file is wrong
    ├── ScoringError           a metric cannot be measured
    ├── ModelsFileError        the user's own figures of models are wrong
    ├── ProviderError          the provider said no, or said nothing
    │   ├── AuthFailed             401, or no key to send
    │   ├── PermissionRefused      403
    │   ├── NotFound               404: no such file, job or model
    │   ├── Rejected               400, 409, 413, 415, 422, 501 to a question: final
    │   ├── RateLimited            429
    │   ├── Unavailable            408, every other 5xx, and 409 to a question
    │   ├── Unreachable            no answer at all: refused, reset, timed out
    │   └── BadAnswer              an answer that is not the protocol's
    ├── NotTrusted             a key may not go to an address: it was not approved
    ├── LedgerError            the ledger cannot be read or written
    │   ├── LedgerTooNew           written by a later ftops
    │   └── UnknownRun             no run, job or model by that name
    ├── RunError               the run cannot go on
    │   ├── RunBusy                another process drives it
    │   ├── JobFailed              the provider's job ended badly
    │   │   └── JobCancelled           because somebody cancelled it
    │   ├── RequirementMissed      `evaluate.require` is not met; the model is there all the same
    │   ├── LimitExceeded          `limits:` of the job file would be broken
    │   └── WaitedTooLong          `limits.max_wait` is over; the job itself goes on
    │       └── JobStalled             nothing was heard of a running job for `limits.stall`
    ├── NotifyFailed           somebody who was to be told of a run was not
    ├── ExportFailed            a tool of `export:` has not got a run
    ├── EngineError            the built-in engine cannot do its work
    │   ├── EngineNotRunning
    │   └── PortTaken
    └── StorageError           full disk, read-only folder, no permission

Each message says what happened and where; `hint` says the next thing to do, with `JOB.yaml` for the
path of the job file, which `ftops.cli` puts in. Domain code raises, and only `ftops.cli` turns an
error into text and an exit code.
"""

from typing import Self

_REFUSALS = frozenset({400, 401, 403, 404, 413, 415, 422})  # of a request, for its content


class FtopsError(Exception):
    """Base of the tree; `hint` is the next action, shown on a line of its own."""

    hint: str = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        if hint:
            self.hint = hint


class UsageError(FtopsError):
    """An option of the command line has a value that cannot be used; the message names it."""

    hint = "Add --help to the command to see its options."


class SpecError(FtopsError):
    """The job file is wrong; the message lists every problem with file, line and column."""

    hint = "Correct the job file; `ftops check JOB.yaml` checks it without sending anything."


class DatasetError(FtopsError):
    """A data file is wrong; the message names the file and the lines."""

    hint = "Correct these rows; `ftops check JOB.yaml` checks the data without sending anything."


class ScoringError(FtopsError):
    """A metric cannot be measured: what it needs is not installed, or its own file is wrong."""

    hint = "Mend that file, or leave the metric out."


class ModelsFileError(FtopsError):
    """The user's `models.toml` is wrong; the message names its lines and what is wanted there."""

    hint = "Mend that file, or move it away: ftops has figures of its own (docs/prices.md)."


class ProviderError(FtopsError):
    """The provider refused a request, or did not answer it.

    `status` is the HTTP status (None without an answer), `code` and `param` are the API's own,
    `request_id` is what the provider's support asks for, and `retry_after_s` is the pause it
    asked for, in seconds. `final` is True when it said that asking again soon is of no use.
    `unrecognized` is True when the body is not the protocol's error object: a proxy, or another
    program at that address, may have answered.
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
        """Whether the request certainly had no effect: refused for its content, or never sent."""
        if isinstance(self, RateLimited | Unavailable | Unreachable | BadAnswer):
            return False
        return self.status is None or (self.status in _REFUSALS and not self.unrecognized)

    def reworded(self, message: str, hint: str) -> Self:
        """The same answer of the provider with another message and another hint."""
        return type(self)(
            message,
            hint=hint,
            status=self.status,
            code=self.code,
            param=self.param,
            request_id=self.request_id,
            retry_after_s=self.retry_after_s,
            final=self.final,
            unrecognized=self.unrecognized,
        )


class AuthFailed(ProviderError):
    """The key is missing or was refused."""

    hint = "Set the key in the environment variable that `api_key_env` of the provider names."


class PermissionRefused(ProviderError):
    """The key is good, but may not do this."""

    hint = "Ask for the right at the provider, or name another provider in the job file."


class NotFound(ProviderError):
    """The provider knows no such file, job or model."""

    hint = "`ftops models list`, `ftops files list` and `ftops runs` show what there is."


class Rejected(ProviderError):
    """The provider refuses the request as it is; sending it again changes nothing."""


class RateLimited(ProviderError):
    """The provider wants fewer requests."""

    hint = "Wait, then give the same command again: it goes on where it stopped."


class Unavailable(ProviderError):
    """The provider answered that it cannot serve now."""

    hint = "Give the same command again later: it goes on where it stopped."


class Unreachable(ProviderError):
    """No answer: the connection was refused, reset or timed out."""

    hint = "Check the network and the provider's address; the same command goes on from here."


class BadAnswer(ProviderError):
    """The answer is not what the protocol promises."""

    hint = "Check `base_url`: something other than the fine-tuning API seems to answer there."


class NotTrusted(FtopsError):
    """A key would go to an address from a job file that the user has not approved."""


class LedgerError(FtopsError):
    """The ledger cannot be read or written."""

    hint = "Run the command again; if that fails too, `ftops restore FILE` restores a backup."


class LedgerTooNew(LedgerError):
    """A later ftops wrote this ledger."""

    hint = "Upgrade ftops, or point FTOPS_HOME at another folder."


class UnknownRun(LedgerError):
    """The ledger holds no run, job or model by that name."""

    hint = "`ftops runs` lists what has been run."


class RunError(FtopsError):
    """The run cannot go on."""


class RunBusy(RunError):
    """Another process drives this run."""


class JobFailed(RunError):
    """The provider's job failed or was cancelled."""


class JobCancelled(JobFailed):
    """The provider's job was cancelled, or the run before it had one."""


class RequirementMissed(RunError):
    """A figure under `evaluate.require` was not reached; the message names each of them."""

    hint = "The model is there all the same; what was required stands under evaluate.require."


class LimitExceeded(RunError):
    """A figure under `limits:` in the job file would be exceeded; nothing was sent."""

    hint = "Raise the limit in the job file, or make the job smaller."


class WaitedTooLong(RunError):
    """`limits.max_wait` is over; the job goes on at the provider."""


class JobStalled(WaitedTooLong):
    """A running job has given no sign for `limits.stall`; nothing was cancelled or sent again."""


class NotifyFailed(FtopsError):
    """A command or web address of `notify:` was not told; the run itself is as it is."""


class ExportFailed(FtopsError):
    """A tool of `export:` has not got the run; the run itself is as it is."""

    hint = "Nothing of the run is lost; the same `ftops export` tells it again."


class EngineError(FtopsError):
    """The built-in engine cannot do its work."""


class EngineNotRunning(EngineError):
    """No built-in engine answers."""

    hint = "`ftops serve` starts it in the foreground; `ftops run` starts it when it is needed."


class PortTaken(EngineError):
    """Another program listens on the port."""

    hint = "Choose another with `ftops serve --port N`, or leave the option out for a free one."


class StorageError(FtopsError):
    """The disk is full, or the folder may not be written."""

    hint = "Free some space or mend the permissions, then give the same command again."
