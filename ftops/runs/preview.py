"""Previews what a job file would do, before anything is recorded or sent.

The data is prepared as in a run, in a temporary folder that is deleted afterwards. The provider is
only used for information that needs no network: row formats, limits, prices.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ftops.data.summary import DataSummary
from ftops.errors import DatasetError
from ftops.evaluation.estimate import EvaluationEstimate, check_evaluation, estimate_evaluation
from ftops.providers.model_catalog import ModelInfo
from ftops.providers.provider import Provider
from ftops.records import JobRequest, Method, ProviderSettings, RowFormat
from ftops.run_folder import RunFolder
from ftops.runs.cost_limits import MonthCosts, list_broken_month
from ftops.runs.deployments import describe_deployment
from ftops.runs.estimate import (
    Estimate,
    TokenCounter,
    get_price_advice,
    list_broken_limits,
    raise_broken,
)
from ftops.runs.preprocessing import check_rows, create_index, prepare_job, write_upload
from ftops.runs.reconcile import map_request
from ftops.spec.job_file import LoadedJob


@dataclass(frozen=True, slots=True)
class Preview:
    """The uploads and the request of a run, its estimates, and the problems that prevent it.

    Summaries describe the prepared files; a file at the provider has None. `request` has the names
    that the files get at the provider. `problems` has one sentence for each problem, and is empty
    if the run could start.
    """

    row_format: RowFormat
    training: DataSummary | None
    validation: DataSummary | None
    overlap_rows: int
    estimate: Estimate | None
    request: JobRequest
    uploads: Mapping[str, str]  # the name at the provider -> the file in the job file
    figures: ModelInfo  # of the model at the provider
    problems: tuple[str, ...]
    is_cost_later: bool = False  # the provider estimates the cost, too, before the job is created
    price_advice: str = ""  # how to set the price that a limit needs
    evaluation: EvaluationEstimate | None = None  # if there is an evaluation
    deployment: str | None = None  # how the model is deployed, and what that costs

    def check(self) -> None:
        """Raise LimitExceeded if there are problems."""
        raise_broken(self.problems, self.price_advice)


def preview(
    job: LoadedJob,
    provider: Provider,
    tokens: TokenCounter | None = None,
    reach: Callable[[ProviderSettings], Provider] | None = None,
    month: MonthCosts | None = None,
) -> Preview:
    """Preview the job file with all of its data; DatasetError if the data is bad.

    `reach` opens the providers of the models that the evaluation compares. `month` has the runs
    that count for `limits.max_month_usd`.
    """
    spec, tokens = job.spec, tokens or TokenCounter()
    with tempfile.TemporaryDirectory(prefix="ftops-") as name:
        folder = Path(name)
        index = create_index(spec, job.find_data) if spec.evaluate.refuses_overlap else None
        prepared_job = prepare_job(spec, job.path, folder, provider, index=index)
        training, validation = prepared_job.training, prepared_job.validation
        overlap_rows = prepared_job.count_overlap()
        estimate = prepared_job.estimate(spec, provider, tokens)
        prepared = prepared_job.to_result(estimate, overlap_rows)
        check_evaluation(spec, job.path, job.find_data, prepared, folder, index, run_code=False)
        evaluation = estimate_evaluation(
            job, prepared, folder, provider, reach or (lambda _settings: provider), tokens.counting
        )
        files = [
            write_upload(result.file, RunFolder(folder), provider, Method(spec.method)).record
            for result in prepared_job.files
        ]
    names = [file.file_id or file.remote_name for file in files]
    is_cost_later = provider.capabilities.estimates_cost
    problems = list_broken_limits(spec.limits, estimate, spec.model, is_cost_later=is_cost_later)
    if month is not None and spec.limits.max_month_usd is not None:
        problems += list_broken_month(
            month,
            spec.limits.max_month_usd,
            estimate.cost_usd if estimate else None,
            is_cost_later=is_cost_later,
        )
    try:
        check_rows(prepared_job, provider)
    except DatasetError as error:
        problems.insert(0, error.message)
    return Preview(
        row_format=prepared_job.recipe.format,
        training=training.summary,
        validation=validation.summary if validation else None,
        overlap_rows=overlap_rows,
        estimate=estimate,
        request=map_request(
            spec,
            provider.capabilities,
            names[0],
            names[1] if validation else None,
        ),
        uploads={file.remote_name: file.source for file in files if file.file_id is None},
        figures=provider.get_model_info(spec.model),
        problems=tuple(problems),
        is_cost_later=is_cost_later,
        price_advice=get_price_advice(spec.limits, estimate),
        evaluation=evaluation,
        deployment=describe_deployment(spec, provider),
    )
