"""What the evaluation of a job will ask, before there is a model: for `check` and `--dry-run`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ftops.data.plans.inference import get_label_map
from ftops.data.tokens.counter import CounterFactory
from ftops.evaluation.candidates import (
    Candidate,
    Field,
    find_candidates,
    make_subject_candidate,
)
from ftops.evaluation.costs import Asked, foresee_all
from ftops.evaluation.questions import read_questions
from ftops.evaluation.result import SkippedCandidate
from ftops.evaluation.rows import prepare_rows
from ftops.evaluation.subject import Subject
from ftops.evaluation.ways import Way
from ftops.inference.budget import CostEstimate, create_cost_estimator
from ftops.providers.provider import Provider
from ftops.records import Prompt, ProviderSettings, Sampling
from ftops.spec.job_file import LoadedJob, resolve_data
from ftops.stage_results import PreparedData

_LATER = ("previous", "checkpoints")  # nobody knows before the run which models these are


@dataclass(frozen=True, slots=True)
class EvaluationForecast:
    """Who is asked about how many rows of `file`, and who is not, as far as that is known.

    `later` names candidates that are asked, too, if there are any then.
    """

    file: str
    rows: int
    asked: Sequence[Asked]
    skipped: Sequence[SkippedCandidate] = ()
    later: Sequence[str] = ()

    @property
    def usd(self) -> float | None:
        """The highest price of all that is known to be asked; None where a price is not known."""
        prices = [one.forecast.usd for one in self.asked]
        known = [price for price in prices if price is not None]
        return sum(known) if len(known) == len(prices) else None


def foresee_evaluation(
    job: LoadedJob,
    prepared: PreparedData,
    folder: Path,
    provider: Provider,
    reach: Callable[[ProviderSettings], Provider],
    counting: CounterFactory,
) -> EvaluationForecast | None:
    """What is asked about the rows, whose prepared files lie in `folder`; None where none are.

    Asks nobody. DatasetError when the file cannot be read.
    """
    spec = job.spec.evaluate
    named = spec.file or job.spec.validation_file
    if named is None or resolve_data(job.path, named) is None:
        return None
    path, source = prepare_rows(job.spec, job.path, prepared, folder)
    stop, labels = prepared.stop, get_label_map(prepared.plan)
    way = Way(prepared.get_request_format, prepared.separator, stop, labels)
    questions = read_questions(path, source, way, spec.max_rows, spec.seed)
    training = None if prepared.training.file_id else folder / prepared.training.filename
    settings = job.spec.provider_settings()
    base = job.spec.model
    model = base if base.startswith("ft:") else f"ft:{base}"
    field = Field(
        Subject(model, settings, way, base=base, training=training),
        questions,
        None,
        lambda wanted: provider if wanted == settings else reach(wanted),
        spec.seed,
    )
    entries = [one for one in spec.candidates if one.word not in _LATER]
    found = list(find_candidates(field, entries))
    asked = [make_subject_candidate(field), *(one for one in found if isinstance(one, Candidate))]

    def foresee(
        asked: Provider, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> CostEstimate:
        return create_cost_estimator(asked, model, counting).estimate(prompts, sampling.max_tokens)

    longest = spec.max_tokens or questions.longest
    return EvaluationForecast(
        file=source,
        rows=len(questions.rows),
        asked=foresee_all(field, spec, asked, longest, foresee),
        skipped=[one for one in found if isinstance(one, SkippedCandidate)],
        later=[one.word for one in spec.candidates if one.word in _LATER],
    )
