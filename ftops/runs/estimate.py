"""What a job will cost, before anything is sent, and whether `limits:` allows it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftops.capabilities import EpochRule
from ftops.errors import LimitExceeded
from ftops.records import (
    Auto,
)
from ftops.spec.model import LimitSpec

_UNKNOWN_EPOCHS = (
    "what n_epochs becomes is not known beforehand; give hyperparameters.n_epochs a number"
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens of the training file, how often they are trained on, and the price of that.

    `n_epochs` is None when the job file says "auto" and nobody can foretell what that becomes.
    """

    tokens: int
    n_epochs: int | None
    epochs_assumed: bool  # the job file says "auto"
    price_usd: float | None  # for a million trained tokens
    method: str = ""  # how the tokens were counted
    error: float = 0.0  # the share by which they may be off
    price_advice: str = ""  # how to tell a price that is not known
    long_rows: int = 0  # rows with more tokens than the model reads, as far as that is known
    row_limit: int | None = None
    batch_size: int | None = None  # what "auto" becomes, as far as that is known

    def say_long_rows(self) -> str | None:
        """That rows will be cut, for people; None when none is known to be."""
        if not self.long_rows:
            return None
        are = (
            "1 training row is" if self.long_rows == 1 else f"{self.long_rows:,} training rows are"
        )
        most = "the model reads" if self.row_limit is None else f"{self.row_limit:,} tokens"
        return f"{are} longer than {most}, and will be cut"

    @property
    def trained_tokens(self) -> int | None:
        return None if self.n_epochs is None else self.tokens * self.n_epochs

    @property
    def cost_usd(self) -> float | None:
        """None when the price is not known, or the number of epochs and there is a price."""
        if not self.price_usd:
            return self.price_usd
        trained = self.trained_tokens
        return None if trained is None else trained * self.price_usd / 1e6


def assume_epochs(
    n_epochs: int | Auto, rows: int, rule: EpochRule | None
) -> tuple[int | None, bool]:
    """How many epochs there will be, and whether that is a guess at what "auto" becomes."""
    if n_epochs != "auto":
        return n_epochs, False
    return (rule.estimate(rows) if rule else None), True


def find_broken_limits(limits: LimitSpec, estimate: Estimate | None, model: str) -> list[str]:
    """Every limit that would be broken or that cannot be held, in words.

    `estimate` is None when the training data lies at the provider, where it cannot be counted.
    """
    broken = []
    if limits.max_training_tokens is not None:
        if estimate is None:
            broken.append(
                "limits.max_training_tokens cannot be held: training_file is an uploaded file,"
                " whose tokens are not known here"
            )
        elif estimate.trained_tokens is None:
            broken.append(f"limits.max_training_tokens cannot be held: {_UNKNOWN_EPOCHS}")
        elif estimate.trained_tokens > limits.max_training_tokens:
            broken.append(
                f"{_about(estimate)}{estimate.trained_tokens:,} tokens would be trained on"
                f" ({estimate.tokens:,} x {_epochs(estimate)}),"
                f" and limits.max_training_tokens is {limits.max_training_tokens:,}"
            )
    if limits.max_cost_usd is not None:
        if estimate is None:
            broken.append(
                "limits.max_cost_usd cannot be held: training_file is an uploaded file,"
                " whose tokens are not known here"
            )
        elif estimate.price_usd and estimate.trained_tokens is None:
            broken.append(f"limits.max_cost_usd cannot be held: {_UNKNOWN_EPOCHS}")
        elif estimate.cost_usd is None:
            broken.append(
                f"limits.max_cost_usd cannot be held: the price of training {model} is not known"
            )
        elif estimate.cost_usd > limits.max_cost_usd:
            broken.append(
                f"training would cost about ${estimate.cost_usd:,.2f}"
                f" ({estimate.trained_tokens or 0:,} tokens at ${estimate.price_usd or 0:g}"
                " a million),"
                f" and limits.max_cost_usd is ${limits.max_cost_usd:,.2f}"
            )
    return broken


def find_price_advice(limits: LimitSpec, estimate: Estimate | None) -> str:
    """The way out where a limit waits for a price that is not known; empty where none does."""
    if limits.max_cost_usd is None or estimate is None or estimate.price_usd is not None:
        return ""
    return estimate.price_advice


def check_limits(limits: LimitSpec, estimate: Estimate | None, model: str) -> None:
    """LimitExceeded, naming all of them, if any limit would be broken."""
    broken = find_broken_limits(limits, estimate, model)
    raise_broken(broken, find_price_advice(limits, estimate))


def raise_broken(broken: Sequence[str], advice: str) -> None:
    """LimitExceeded with these sentences, if there are any; `advice` instead of the usual hint."""
    if broken:
        raise LimitExceeded("nothing was sent: " + "; ".join(broken), hint=advice)


def _about(estimate: Estimate) -> str:
    return "about " if estimate.error else ""


def _epochs(estimate: Estimate) -> str:
    assumed = ', assumed for "auto"' if estimate.epochs_assumed else ""
    return f"{estimate.n_epochs} epochs{assumed}"
