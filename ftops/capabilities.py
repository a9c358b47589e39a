"""What a provider takes and what it makes of `auto`, known before it is asked."""

from dataclasses import dataclass

from ftops.records import Method


@dataclass(frozen=True, slots=True)
class EpochRule:
    """What a provider is known to make of `n_epochs: auto`.

    `target` epochs; more (up to `most`) when they would show fewer than `least_seen` rows in all,
    fewer when they would show more than `most_seen`.
    """

    target: int
    least_seen: int
    most_seen: int
    most: int

    def estimate(self, rows: int) -> int:
        """The epochs for a training file of so many rows."""
        rows = max(rows, 1)
        if rows * self.target < self.least_seen:
            return min(self.most, max(1, self.least_seen // rows))
        if rows * self.target > self.most_seen:
            return max(1, self.most_seen // rows)
        return self.target


@dataclass(frozen=True, slots=True)
class BatchRule:
    """What a provider is known to make of `batch_size: auto`: a share of the rows, up to `most`."""

    share: float
    most: int

    def estimate(self, rows: int) -> int:
        """The batch size for a training file of so many rows."""
        return max(1, min(self.most, round(self.share * rows)))


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider takes, so that a job file can be checked before anything is sent."""

    suffix_max: int
    hyperparameters: frozenset[str]  # the names of `Hyperparameters` that it does not ignore
    metadata: bool = True
    seed: bool = True
    min_rows: int = 1  # rows of training data under which it refuses the job
    needs_key: bool = True
    poll_every_s: float = 5.0  # how often following asks how a job stands that is being worked on
    poll_queued_s: float = 60.0  # the longest it waits while the job only waits for its turn
    listing_lag_s: float = 30.0  # by then a job that exists is in the list of jobs
    file_listing_lag_s: float = 10.0  # and a file that was stored, in the list of files
    auto_epochs: EpochRule | None = None  # None: what "auto" becomes is not known beforehand
    auto_batch: BatchRule | None = None  # likewise
    chats: bool = True  # some model takes rows that are chats
    any_row_format: bool = False  # every model takes prompts and completions as well as chats
    methods: frozenset[Method] = frozenset({Method.SUPERVISED})
    tools: bool = True  # its models learn to call tools
    pauses: bool = True  # a job can be paused and resumed
    untrained_bases: bool = False  # base models know nothing before they are tuned
    moderation: bool = False  # it judges texts: `Provider.moderate`
    max_concurrent_requests: int = 8  # requests for answers that may well be under way at a time
    prompts_per_request: int = (
        1  # prompts (no chats) that share such a request, when there are many
    )
