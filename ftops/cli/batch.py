"""`ftops batch`: a model answers all rows of a file."""

import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.complete import MaxTokens, ModelRef, Raw, Seed, Stop, Temperature, TopP
from ftops.cli.data.options import Delimiter, Encoding, FormatName, PromptColumn, Sheet
from ftops.cli.environment import get_home
from ftops.cli.errors import Interrupted
from ftops.cli.factory import make_token_counting
from ftops.cli.options import ApiKeyEnv, BaseUrl, ProviderName, Yes, check_output_path
from ftops.cli.output import Mode, NotConfirmed, Output, clean, render_json_line
from ftops.cli.target_model import TargetModel, open_target_models
from ftops.clock import Clock, SystemClock
from ftops.data.prompts import PromptRow, read_prompts
from ftops.data.reading.options import ReadOptions, parse_format
from ftops.errors import FtopsError
from ftops.files import write_atomic
from ftops.inference.batch import BatchOptions, complete_all
from ftops.inference.budget import (
    Budget,
    CostEstimate,
    CostEstimator,
    create_cost_estimator,
    format_usd,
)
from ftops.inference.cache import CompletionResult, ResponseCache
from ftops.records import Json, Sampling, render_refused

Rows = Annotated[
    str,
    typer.Argument(metavar="FILE", help="Rows with prompts or chats, of any kind; - for stdin."),
]
OutFile = Annotated[
    Path, typer.Option("--output", "-o", metavar="OUT.jsonl", help="Where the answers go.")
]
MaxCost = Annotated[
    float | None,
    typer.Option("--max-cost", metavar="USD", min=0, help="Ask nothing that may cost more."),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency", min=1, max=256, help="Requests at a time; default: the provider's."
    ),
]
Refresh = Annotated[bool, typer.Option("--refresh", help="Ask again what was answered before.")]
_REMARK_EVERY_S = 5.0
_SHOWN_ROWS = 10


class Unanswered(FtopsError):
    """Some rows have no answer; all others are written."""

    hint = "The same command asks again what may be answered now, and nothing else."


@command(
    "batch",
    examples=[
        "ftops batch questions.jsonl -m news-topics -o answers.jsonl",
        "ftops batch rows.csv --prompt '{title}' -m faq --max-cost 2 -o out.jsonl",
    ],
)
def batch(
    out: Output,
    file: Rows,
    model: ModelRef,
    output: OutFile,
    max_tokens: MaxTokens = 64,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    stop: Stop = None,
    seed: Seed = None,
    raw: Raw = False,
    max_cost: MaxCost = None,
    concurrency: Concurrency = None,
    anew: Refresh = False,
    format: FormatName = None,
    sheet: Sheet = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    prompt: PromptColumn = None,
    provider: ProviderName = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    yes: Yes = False,
) -> None:
    """Let a model answer all rows of a file.

    Some are asked at once. Each answer is kept as it comes: after Ctrl-C or a kill the same command
    goes on, and no row is asked (and paid) twice. OUT.jsonl appears when all is done. What it may
    cost is said before; at a price, it is asked about first, or held by --max-cost.
    """
    check_output_path(output, None if file == "-" else Path(file))
    options = ReadOptions(parse_format(format), sheet, encoding, delimiter, prompt)
    path = None if file == "-" else Path(file)
    questions = read_prompts(path, options, stdin=sys.stdin.buffer if path is None else None)
    with open_target_models([model], provider, base_url, api_key_env, raw=raw) as (target,):
        sampling = Sampling(max_tokens, temperature, top_p, target.choose_stop(stop), seed)
        work = _Work(out, file, target, questions, sampling, max_cost, concurrency, anew, yes)
        outcomes = work.ask()
        _finish(out, output, work, outcomes)


class _Work:
    """What is to be asked, of whom, and for how much."""

    def __init__(
        self,
        out: Output,
        file: str,
        target: TargetModel,
        questions: Sequence[PromptRow],
        sampling: Sampling,
        max_cost: float | None,
        concurrency: int | None,
        anew: bool,
        yes: bool,
    ) -> None:
        self.out = out
        self.name = file
        self.target = target
        self.questions = questions
        self.sampling = sampling
        self.max_cost = max_cost
        self.concurrency = concurrency
        self.anew = anew
        self.yes = yes
        self.clock = SystemClock()
        self.cost_estimator: CostEstimator = create_cost_estimator(
            target.source, target.name, make_token_counting().counting
        )

    def ask(self) -> list[CompletionResult]:
        prompts = [self.target.make_prompt(one.prompt) for one in self.questions]
        limit = None if self.max_cost is None else Budget(self.max_cost, limit="--max-cost")
        progress = _Progress(self.out, self.clock)
        options = BatchOptions(
            self.clock,
            concurrency=self.concurrency,
            on_progress=progress.told,
            on_note=self.out.info,
            cost_estimator=self.cost_estimator,
            budget=limit,
            on_estimate=self._agree,
            refresh=self.anew,
        )
        store = ResponseCache(get_home(), self.clock)
        source, name = self.target.source, self.target.name
        try:
            return complete_all(source, name, prompts, self.sampling, cache=store, options=options)
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted; {progress.describe()}", hint="The same command goes on from here."
            ) from None
        except FtopsError:
            if progress.done:
                self.out.info(f"{progress.describe()}: the same command goes on from here")
            raise

    def _agree(self, estimate: CostEstimate) -> None:
        """Say what it will cost, and return when that is agreed to."""
        price = "price not known" if estimate.usd is None else f"up to {format_usd(estimate.usd)}"
        price = "free" if estimate.usd == 0 else price
        rows = "1 question" if estimate.questions == 1 else f"{estimate.questions:,} questions"
        self.out.info(
            f"{rows} to {self.target.name}: about {estimate.prompt_tokens:,} tokens, answers of"
            f" up to {estimate.completion_tokens:,} tokens; {price}"
        )
        if estimate.usd == 0 or self.yes or self.max_cost is not None:
            return
        if self.out.mode is not Mode.HUMAN or not sys.stdin.isatty():
            raise NotConfirmed(
                f"nothing was asked: nobody can be asked whether it may cost money ({price})",
                hint="Give --max-cost USD, or --yes.",
            )
        try:
            agreed = typer.confirm(clean(f"Ask {self.target.name}?"), err=True)
        except typer.Abort:  # Ctrl-C, or the end of the input
            agreed = False
        if not agreed:
            raise NotConfirmed("nothing was asked")


class _Progress:
    """Says from time to time how many rows are done."""

    def __init__(self, out: Output, clock: Clock) -> None:
        self._out = out
        self._clock = clock
        self._said_s = clock.monotonic_s()
        self._total = 0
        self.done = 0

    def told(self, done: int, total: int) -> None:
        self.done, self._total = done, total
        now_s = self._clock.monotonic_s()
        if now_s - self._said_s >= _REMARK_EVERY_S and done < total:
            self._said_s = now_s
            self._out.info(f"{done:,} of {total:,} rows are answered")

    def describe(self) -> str:
        return f"{self.done:,} of {self._total:,} rows are answered, which is kept"


def _finish(out: Output, path: Path, work: _Work, outcomes: Sequence[CompletionResult]) -> None:
    labels = work.target.get_label_map()
    pairs = zip(work.questions, outcomes, strict=True)
    lines = [render_json_line(_make_line(one, outcome, labels)) for one, outcome in pairs]
    write_atomic(path, "".join(lines).encode(), mode=0o644)
    fresh = [one.completion for one in outcomes if one.completion and not one.cached]
    kept = sum(one.cached for one in outcomes)
    failed = {
        question.line: one.failure
        for question, one in zip(work.questions, outcomes, strict=True)
        if one.completion is None
    }
    cost = work.cost_estimator.price(fresh)
    refused = {
        name: new
        for one in outcomes
        if one.completion
        for name, new in one.completion.refused_parameters.items()
    }
    document: dict[str, Json] = {
        "model": work.target.name,
        "file": str(path),
        "rows": len(outcomes),
        "answered": len(outcomes) - len(failed),
        "failed": len(failed),
        "kept": kept,
        "cost_usd": cost,
    }
    if refused:
        document["refused_parameters"] = {**refused}
        out.info(f"{work.target.name}: {render_refused(refused)}")
    said = f"{path} is written: {len(outcomes) - len(failed):,} of {len(outcomes):,} rows answered"
    said += f", {kept:,} of them before" if kept else ""
    said += "; price not known" if cost is None else f"; {format_usd(cost)}" if cost else ""
    if failed:
        out.about = document
        shown = [f"{work.name}:{line}: {why}" for line, why in islice(failed.items(), _SHOWN_ROWS)]
        more = [f"… and {len(failed) - len(shown)} more"] if len(failed) > len(shown) else []
        raise Unanswered("\n".join([said, *shown, *more]))
    out.finish(document, essential=[str(path)], human=lambda: [said])


def _make_line(
    question: PromptRow, outcome: CompletionResult, labels: Mapping[str, str]
) -> dict[str, Json]:
    """One line of the file: the question as it was given, and what came of it."""
    asked: Json = question.prompt if isinstance(question.prompt, str) else None
    if not isinstance(question.prompt, str):
        asked = [{"role": one.role, "content": one.content} for one in question.prompt]
    key = "prompt" if isinstance(asked, str) else "messages"
    answer = outcome.completion
    line: dict[str, Json] = {"line": question.line, key: asked}
    if answer is None:
        return line | {"answer": None, "failure": outcome.failure}
    line |= {"answer": answer.text}
    if answer.refused_parameters:
        line |= {"refused_parameters": dict(answer.refused_parameters)}
    if labels:
        line |= {"label": labels.get(answer.text.strip())}
    if answer.refusal is not None:
        line |= {"refusal": answer.refusal}
    return line | {
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
    }
