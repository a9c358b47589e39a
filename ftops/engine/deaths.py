"""Whether a job whose worker has died gets another one.

A worker that ends by itself (an exception, a crash in native code) counts each time. One that is
killed from outside counts only when it came no step further than those before it: a machine that
goes down now and then must not cost anybody a job, but one without enough memory must not try
for ever.
"""

from dataclasses import dataclass

from ftops.engine.settings import JobFolder, hide_paths
from ftops.engine.steps import read_steps
from ftops.engine.store import JobRow
from ftops.engine.workers import read_tail

MAX_DEATHS = 3
_FROM_OUTSIDE = (None, -9, -15)  # exit codes of SIGKILL and SIGTERM; None: nobody saw its end


@dataclass(slots=True)
class _Kills:
    step: int = 0  # that the last one had come to
    in_a_row: int = 0  # without a step more


@dataclass(frozen=True, slots=True)
class Death:
    """One worker's end: `counts` as its own fault; `verdict` is why the job fails, if it does."""

    counts: bool
    verdict: str | None


class Deaths:
    """Remembers how far each job had come when its worker was killed."""

    def __init__(self) -> None:
        self._kills: dict[str, _Kills] = {}

    def judge(self, job: JobRow, folder: JobFolder, exit_code: int | None) -> Death:
        """What to do about a worker that is gone, and was not asked to go."""
        if exit_code not in _FROM_OUTSIDE:
            broken = job.deaths + 1 >= MAX_DEATHS
            why = f"Training broke off {MAX_DEATHS} times."
            return Death(True, _with_last_words(why, folder) if broken else None)
        kills = self._kills.setdefault(job.id, _Kills())
        steps = read_steps(folder.steps)
        step = int(steps[-1][0]) if steps else 0
        kills.in_a_row = 1 if step > kills.step else kills.in_a_row + 1
        kills.step = step
        if kills.in_a_row < MAX_DEATHS:
            return Death(False, None)
        why = (
            f"The process that trains was killed {MAX_DEATHS} times at step {step}. The system does"
            " that when memory runs out: take a smaller batch_size or base model."
        )
        return Death(False, _with_last_words(why, folder))

    def forget(self, job_id: str) -> None:
        """The job has ended."""
        self._kills.pop(job_id, None)


def _with_last_words(why: str, folder: JobFolder) -> str:
    words = hide_paths(read_tail(folder.log), folder.root.parent.parent)
    return f"{why} The last words were:\n{words}" if words else why
