"""`ftops batch`: runs a model over all rows of a file."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.data.options import PromptReading
from ftops.cli.environment import get_home
from ftops.cli.options import ModelRef, ProviderOptions, SamplingOptions, Yes, check_output_path
from ftops.cli.output import Mode, NotConfirmed, Output, ask_user, render_json_line
from ftops.cli.progress import show_request_progress
from ftops.cli.run_context import create_token_counter
from ftops.cli.target_model import TargetModel, open_target_models
from ftops.clock import SystemClock
from ftops.data.rows import PromptRow, read_prompts
from ftops.errors import FtopsError
from ftops.files import write_atomic
from ftops.inference.batch import BatchOptions, complete_all
from ftops.inference.budget import (
    Budget,
    CostEstimate,
    create_cost_estimator,
)
from ftops.inference.cache import CompletionResult, ResponseCache
from ftops.records import Json, Sampling, render_refused
from ftops.text import format_count, format_usd

InputFile = Annotated[
    str, typer.Argument(metavar="FILE", help="Rows with prompts or chats; - for stdin.")
]
OutputFile = Annotated[
    Path, typer.Option("--output", "-o", metavar="OUT.jsonl", help="File for the responses.")
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost", metavar="USD", min=0, help="Stop before the cost can exceed this (USD)."
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency", min=1, max=256, help="Parallel requests; default: the provider's limit."
    ),
]
Refresh = Annotated[
    bool, typer.Option("--refresh", help="Send all requests again and ignore cached responses.")
]
_SHOWN_ROWS = 10


@dataclass(frozen=True, slots=True)
class RequestOptions(SamplingOptions):
    """How the requests of a batch are sampled and sent."""

    max_cost: MaxCost = None
    concurrency: Concurrency = None
    refresh: Refresh = False
    yes: Yes = False


class BatchIncomplete(FtopsError):
    """Some rows have no response; all others are written."""

    hint = "Run the same command again: it sends only the failed requests."


@command(
    "batch",
    examples=[
        "ftops batch questions.jsonl -m news-topics -o answers.jsonl",
        "ftops batch rows.csv --prompt '{title}' -m faq --max-cost 2 -o out.jsonl",
    ],
)
def batch(
    out: Output,
    file: InputFile,
    model: ModelRef,
    output: OutputFile,
    *,
    options: RequestOptions,
    reading: PromptReading,
    provider: ProviderOptions,
) -> None:
    """Run batch inference over a file.

    Requests run in parallel. Each response is cached as it arrives: after Ctrl-C or a kill the same
    command continues, and no row is sent (and paid) twice. OUT.jsonl is written when all rows are
    done. The estimated cost is shown first; unless it is free, ftops asks for confirmation or stops
    at --max-cost.
    """
    path = None if file == "-" else Path(file)
    check_output_path(output, path)
    rows = read_prompts(
        path, reading.get_read_options(), stdin=sys.stdin.buffer if path is None else None
    )
    with open_target_models([model], provider, raw=options.raw) as (target,):
        work = _Batch(out, target, rows, options)
        results = work.run(target.create_sampling(options))
        _finish(out, file, output, work, results)


class _Batch:
    """The requests of one command, their cost and their progress."""

    def __init__(
        self,
        out: Output,
        target: TargetModel,
        rows: Sequence[PromptRow],
        options: RequestOptions,
    ) -> None:
        self.target = target
        self.rows = rows
        self.cost_estimator = create_cost_estimator(
            target.source, target.name, create_token_counter().counting
        )
        self._out = out
        self._options = options

    def run(self, sampling: Sampling) -> list[CompletionResult]:
        """The result of each request, in the order of the rows."""
        max_cost, clock = self._options.max_cost, SystemClock()
        with show_request_progress(self._out, clock, with_bar=False) as view:
            return complete_all(
                self.target.source,
                self.target.name,
                [self.target.format_prompt(row.prompt) for row in self.rows],
                sampling,
                cache=ResponseCache(get_home(), clock),
                options=BatchOptions(
                    clock,
                    concurrency=self._options.concurrency,
                    on_progress=view.on_progress,
                    on_note=view.on_note,
                    cost_estimator=self.cost_estimator,
                    budget=None if max_cost is None else Budget(max_cost, limit="--max-cost"),
                    on_estimate=self._confirm_cost,
                    refresh=self._options.refresh,
                ),
            )

    def _confirm_cost(self, estimate: CostEstimate) -> None:
        """Show the estimated cost; returns when the user accepts it."""
        price = "price unknown" if estimate.usd is None else f"up to {format_usd(estimate.usd)}"
        price = "free" if estimate.usd == 0 else price
        requests = format_count(estimate.requests, "request")
        self._out.info(
            f"{requests} to {self.target.name}: about {estimate.prompt_tokens:,} prompt tokens, up"
            f" to {estimate.completion_tokens:,} completion tokens; {price}"
        )
        if estimate.usd == 0 or self._options.yes or self._options.max_cost is not None:
            return
        if self._out.mode is not Mode.HUMAN or not sys.stdin.isatty():
            raise NotConfirmed(
                f"not a terminal: cannot confirm the cost ({price}); no requests were sent",
                hint="Give --max-cost USD, or --yes.",
            )
        if not ask_user(f"Send the requests to {self.target.name}?"):
            raise NotConfirmed("no requests were sent")


def _finish(
    out: Output, source: str, path: Path, work: _Batch, results: Sequence[CompletionResult]
) -> None:
    labels = work.target.get_label_map()
    rows = list(zip(work.rows, results, strict=True))
    lines = [render_json_line(_row_document(row, result, labels)) for row, result in rows]
    write_atomic(path, "".join(lines).encode(), mode=0o644)
    cached = sum(result.cached for result in results)
    failed = {row.line: result.failure for row, result in rows if result.completion is None}
    completions = [result.completion for result in results if result.completion]
    cost = work.cost_estimator.price(
        [result.completion for result in results if result.completion and not result.cached]
    )
    refused = {
        name: value
        for completion in completions
        for name, value in completion.refused_parameters.items()
    }
    document: dict[str, Json] = {
        "model": work.target.name,
        "file": str(path),
        "rows": len(results),
        "completed": len(completions),
        "failed": len(failed),
        "cached": cached,
        "cost_usd": cost,
    }
    if refused:
        document["refused_parameters"] = {**refused}
        out.info(f"{work.target.name}: {render_refused(refused)}")
    summary = f"Wrote {path}: {len(completions):,} of {len(results):,} rows have a response"
    summary += f", {cached:,} of them cached" if cached else ""
    summary += "; price unknown" if cost is None else f"; {format_usd(cost)}" if cost else ""
    if failed:
        out.about = document
        shown = [
            f"{source}:{line}: {reason}" for line, reason in islice(failed.items(), _SHOWN_ROWS)
        ]
        more = [f"… and {len(failed) - len(shown)} more"] if len(failed) > len(shown) else []
        raise BatchIncomplete("\n".join([summary, *shown, *more]))
    out.finish(document, essential=[str(path)], human=lambda: [summary])


def _row_document(
    row: PromptRow, result: CompletionResult, labels: Mapping[str, str]
) -> dict[str, Json]:
    """One line of the output file: the unchanged prompt and the response."""
    completion = result.completion
    prompt = row.prompt
    shown = {"prompt": prompt} if isinstance(prompt, str) else prompt.to_json()
    document: dict[str, Json] = {"line": row.line, **shown}
    if completion is None:
        return document | {"answer": None, "failure": result.failure}
    document |= {"answer": completion.text}
    if completion.tool_calls:
        document["tool_calls"] = [
            {"name": call.name, "arguments": call.arguments} for call in completion.tool_calls
        ]
    if completion.refused_parameters:
        document |= {"refused_parameters": dict(completion.refused_parameters)}
    if labels:
        document |= {"label": labels.get(completion.text.strip())}
    if completion.refusal is not None:
        document |= {"refusal": completion.refusal}
    return document | {
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
    }
