"""What runs cost: the provider's estimate before a job, and the sum of a calendar month.

The month is that of UTC. A run belongs to the month in which its last job was requested, and counts
with what it has cost, or else with its estimate; a run without a job counts nothing.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ftops.errors import LimitExceeded, ProviderError
from ftops.ledger.ledger import Ledger
from ftops.locks import hold_lock
from ftops.providers.provider import Provider
from ftops.records import JobRequest, Run
from ftops.runs.commands import format_run_command
from ftops.runs.context import StageContext
from ftops.runs.cost import read_cost
from ftops.runs.estimate import calculate_cost
from ftops.runs.reconcile import CALL as CREATE_CALL
from ftops.stage_results import RunCost, StageResults
from ftops.text import format_usd

_LOCK = "month.lock"
_LOCK_PAUSE_S = 0.1  # the lock is held for milliseconds
_SHOWN_RUNS = 3
_UNKNOWN_COST = "neither ftops nor the provider knows what the training costs"


def estimate_cost(stage: StageContext, request: JobRequest, own_usd: float | None) -> float | None:
    """The provider's own estimate of the job in US dollars; None if it has none.

    A request that fails prevents the job only if a limit depends on it, because our estimate
    (`own_usd`) is not known.
    """
    try:
        return stage.provider.estimate_cost(request)
    except ProviderError as error:
        limits = stage.spec.limits
        has_limit = limits.max_cost_usd is not None or limits.max_month_usd is not None
        if own_usd is None and has_limit:
            raise LimitExceeded(
                "no job was created: the limits cannot be held, because the provider's estimate of"
                f" the cost failed: {error.message}",
                hint=f"{format_run_command(stage.run)} tries again. {error.hint}".strip(),
            ) from error
        stage.observer.on_note(f"the provider's estimate of the cost failed: {error.message}")
        return None


def check_cost(stage: StageContext, cost: RunCost) -> None:
    """Raise LimitExceeded if the estimates exceed `limits.max_cost_usd`, or there are none."""
    most_usd = stage.spec.limits.max_cost_usd
    if most_usd is None or (cost.expected_usd is not None and cost.expected_usd <= most_usd):
        return
    if cost.expected_usd is None:
        raise LimitExceeded(
            f"no job was created: limits.max_cost_usd cannot be held: {_UNKNOWN_COST}",
            hint=stage.provider.get_model_info(stage.spec.model).price_advice,
        )
    own = "unknown" if cost.estimated_usd is None else f"about {format_usd(cost.estimated_usd)}"
    provider_usd = cost.provider_estimated_usd
    by_provider = "none" if provider_usd is None else format_usd(provider_usd)
    raise LimitExceeded(
        f"no job was created: the estimate of the provider for this job is {by_provider},"
        f" that of ftops is {own}, and limits.max_cost_usd is {format_usd(most_usd)}"
    )


@dataclass(frozen=True, slots=True)
class MonthCosts:
    """The other runs of an account in the month since `begin`, each with its cost if known."""

    begin: datetime
    runs: Sequence[tuple[Run, float | None]]

    @property
    def usd(self) -> float:
        """The sum of the known costs."""
        return sum(usd for _, usd in self.runs if usd is not None)

    @property
    def unknown(self) -> list[Run]:
        """The runs whose cost is not known."""
        return [run for run, usd in self.runs if usd is None]

    def describe_dearest(self) -> str:
        """The runs that cost most, with their costs."""
        known = [(usd, run) for run, usd in self.runs if usd]
        known.sort(key=lambda item: -item[0])
        return ", ".join(f"{_describe(run)} {format_usd(usd)}" for usd, run in known[:_SHOWN_RUNS])


def load_month(
    ledger: Ledger, provider: Provider, now: datetime, *, without: str = ""
) -> MonthCosts:
    """The runs of the provider's account in the month of `now`, except the run `without`."""
    begin = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return MonthCosts(
        begin,
        [
            (run, _find_cost(ledger, provider, run, now))
            for run in ledger.list_runs()
            if run.id != without and _counts(ledger, provider, run, begin)
        ],
    )


def list_broken_month(
    month: MonthCosts, most_usd: float, usd: float | None, *, is_cost_later: bool = False
) -> list[str]:
    """Sentences why `limits.max_month_usd` does not allow another run that costs `usd`.

    With `is_cost_later`, a cost that is not known yet is no problem.
    """
    broken = []
    if month.unknown:
        names = ", ".join(map(_describe, month.unknown))
        broken.append(f"limits.max_month_usd cannot be held: what these cost is not known: {names}")
    if usd is None and not is_cost_later:
        broken.append(f"limits.max_month_usd cannot be held: {_UNKNOWN_COST}")
    total_usd = month.usd + (usd or 0.0)
    if total_usd > most_usd:
        dearest = month.describe_dearest()
        broken.append(
            f"the runs of {month.begin:%Y-%m} (UTC) would cost about {format_usd(total_usd)} with"
            f" this one ({'unknown' if usd is None else format_usd(usd)}), and"
            f" limits.max_month_usd is {format_usd(most_usd)}"
            + (f"; the dearest: {dearest}" if dearest else "")
        )
    return broken


def check_month(
    stage: StageContext, usd: float | None, *, is_cost_later: bool = False
) -> list[str]:
    """The sentences of `list_broken_month` for this run; none without `limits.max_month_usd`."""
    most_usd = stage.spec.limits.max_month_usd
    if most_usd is None:
        return []
    now = stage.clock.now()
    month = load_month(stage.ledger, stage.provider, now, without=stage.run.id)
    return list_broken_month(month, most_usd, usd, is_cost_later=is_cost_later)


@contextlib.contextmanager
def hold_month(stage: StageContext, usd: float | None) -> Iterator[None]:
    """Check `limits.max_month_usd`; other runs with this limit wait until the block ends.

    The block records the request for the job, so that parallel runs count each other.
    """
    if stage.spec.limits.max_month_usd is None:
        yield
        return
    while True:
        with hold_lock(stage.context.home / _LOCK) as is_held:
            if is_held:
                if broken := check_month(stage, usd):
                    advice = stage.provider.get_model_info(stage.spec.model).price_advice
                    raise LimitExceeded(f"no job was created: {'; '.join(broken)}", hint=advice)
                yield
                return
        stage.sleep(_LOCK_PAUSE_S)


def _describe(run: Run) -> str:
    return f"{run.id} ({run.name})"


def _counts(ledger: Ledger, provider: Provider, run: Run, begin: datetime) -> bool:
    """Whether the run has requested a job from the account since `begin`."""
    ended_before = run.finished_at is not None and run.finished_at < begin
    if ended_before or run.provider.type != provider.name:
        return False
    calls = [
        call
        for call in ledger.list_calls(run.id)
        if call.name == CREATE_CALL and call.state != "failed"
    ]
    if calls:
        account = calls[-1].request.get("account", provider.account)
        return account == provider.account and calls[-1].began_at >= begin
    return run.job_id is not None and run.created_at >= begin  # an adopted job


def _find_cost(ledger: Ledger, provider: Provider, run: Run, now: datetime) -> float | None:
    """The recorded cost of the run, or that of its tokens at today's price."""
    cost = read_cost(ledger, run.id, now)
    if cost.best_usd is not None:
        return cost.best_usd
    tokens = StageResults.read(ledger.list_stages(run.id)).count_trained_tokens()
    usd = calculate_cost(tokens, provider.get_model_info(run.model).train_usd)
    return None if usd is None else usd + cost.deployments_usd
