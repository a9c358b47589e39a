"""Gets predictions of models: sends prompts through the response cache, reads labels in responses.

The probability of a label is that of the first token of a response, so it is only known for labels
of one token. If a label has several tokens, or starts with the token of another label, no label has
a probability.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from ftops.clock import Clock
from ftops.data.tokens.counter import CounterFactory
from ftops.evaluation.candidates import Candidate
from ftops.evaluation.prompt_format import PromptFormat
from ftops.evaluation.result import Note, NoteKind
from ftops.evaluation.rows import EvaluationRow
from ftops.inference.batch import LOADING_PAUSES_S, BatchOptions, complete_all, make_keys
from ftops.inference.budget import Budget, CostEstimate, create_cost_estimator
from ftops.inference.cache import CompletionResult, ResponseCache
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.registry import METRICS
from ftops.providers.provider import Provider
from ftops.records import Completion, Json, Prompt, Sampling
from ftops.rows.tools import answer_text
from ftops.spec.evaluate import EvaluateSpec
from ftops.text import to_nfc

MAX_COST = "evaluate.max_cost_usd"
_TRUNCATED = "length"
_FILTERED = "content_filter"
_TIMED_ALONE = 20  # responses that measure the latency, if prompts share requests
_LOGPROBS = 5  # OpenAI's maximum for a completion
_LIKELY = 0.01  # less likely tokens are no evidence for labels of several tokens
_ENCODE_LABELS = "encode labels as one token (`ftops data prepare FILE --only encode-labels`)"


def _ignore_note(_text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ModelClient:
    """Sends prompts to models; a prompt with a cached response is not sent.

    `sleep` waits for a newly trained model that is not available yet. `budget` limits the cost of
    all requests of an evaluation, including those to judges.
    """

    cache: ResponseCache
    clock: Clock
    counting: CounterFactory = field(default_factory=CounterFactory)
    budget: Budget | None = None
    concurrency: int | None = None
    sleep: Callable[[float], None] | None = None
    on_note: Callable[[str], None] = _ignore_note

    def complete(
        self,
        provider: Provider,
        model: str,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        *,
        on_progress: Callable[[int], None],
        newly_trained: bool = False,
    ) -> list[CompletionResult]:
        """The result of each prompt; `on_progress` gets the number of responses so far.

        Raises ProviderError if the error affects all prompts.
        """
        estimator = create_cost_estimator(provider, model, self.counting) if self.budget else None
        options = BatchOptions(
            self.clock,
            concurrency=self.concurrency,
            timed_alone=_TIMED_ALONE,
            loading_pauses_s=LOADING_PAUSES_S if newly_trained else (),
            sleep=self.sleep,
            on_progress=lambda done, _total: on_progress(done),
            on_note=self.on_note,
            cost_estimator=estimator,
            budget=self.budget,
        )
        return complete_all(provider, model, prompts, sampling, cache=self.cache, options=options)

    def estimate(
        self, provider: Provider, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> CostEstimate:
        """The highest cost of the prompts that have no cached response."""
        cache = self.cache.open(provider.account, model)
        unique = dict(zip(make_keys(prompts, sampling), prompts, strict=True))
        pending = [prompt for key, prompt in unique.items() if cache.find(key) is None]
        estimator = create_cost_estimator(provider, model, self.counting)
        return estimator.estimate(pending, sampling.max_tokens)


def create_budget(spec: EvaluateSpec) -> Budget | None:
    """The budget of an evaluation; None without a limit."""
    return None if spec.max_cost_usd is None else Budget(spec.max_cost_usd, limit=MAX_COST)


def create_sampling(spec: EvaluateSpec, candidate: Candidate, max_tokens: int) -> Sampling:
    """Greedy decoding; log probabilities only if a metric needs them, as some models lack them."""
    needs_logprobs = any(
        entry.word in METRICS and METRICS[entry.word].needs_probabilities
        for entry in spec.metric_entries
    )
    logprobs = _LOGPROBS if needs_logprobs else None
    takes_precision = candidate.provider.capabilities.takes_precision(candidate.model)
    return Sampling(
        max_tokens=max_tokens,
        temperature=0.0,
        stop=candidate.stop,
        logprobs=logprobs,
        precision=spec.precision if takes_precision else None,
    )


def make_predictions(
    candidate: Candidate, rows: Sequence[EvaluationRow], results: Sequence[CompletionResult]
) -> tuple[list[Prediction], list[Note]]:
    """The prediction for each row, and a note if label probabilities are not known."""
    completions = [result.completion for result in results]
    first_tokens = [
        {token: min(1.0, math.exp(logprob)) for token, logprob in completion.first_token.items()}
        if completion is not None
        else {}
        for completion in completions
    ]
    expected = {row.expected for row in rows}
    probabilities, reason = read_label_probabilities(
        first_tokens, candidate.prompt_format, expected
    )
    notes = [Note(NoteKind.PROBABILITIES, candidate.name, detail=reason)] if reason else []
    predictions = [
        _make_prediction(row, prompt, result, candidate.prompt_format, labels)
        for row, prompt, result, labels in zip(
            rows, candidate.prompts, results, probabilities, strict=True
        )
    ]
    return predictions, notes


def _make_prediction(
    row: EvaluationRow,
    prompt: Prompt,
    result: CompletionResult,
    prompt_format: PromptFormat,
    probabilities: Mapping[str, float],
) -> Prediction:
    completion = result.completion
    if completion is None:
        return Prediction(
            row.line,
            prompt,
            row.expected,
            "",
            problem=Problem.FAILED,
            note=result.failure,
            expected_calls=row.tool_calls,
        )
    calls: list[Json] = [asdict(call) for call in completion.tool_calls]
    text = prompt_format.parse(completion.text)
    predicted = answer_text({"content": text, "tool_calls": calls})
    problem, note = _find_problem(completion)
    if problem is Problem.TRUNCATED and predicted == row.expected:
        problem = None  # a correct prediction is complete
    return Prediction(
        line=row.line,
        prompt=prompt,
        expected=row.expected,
        predicted=predicted,
        finish_reason=completion.finish_reason,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        seconds=completion.seconds if completion.shared == 1 else None,
        probabilities=probabilities,
        problem=problem,
        note=note,
        expected_calls=row.tool_calls,
        predicted_calls=completion.tool_calls,
    )


def _find_problem(completion: Completion) -> tuple[Problem | None, str]:
    if completion.refusal is not None or completion.finish_reason == _FILTERED:
        return Problem.REFUSED, completion.refusal or "blocked by a content filter"
    if completion.finish_reason == _TRUNCATED:
        return Problem.TRUNCATED, ""
    return None, ""


def list_refused_parameters(results: Sequence[CompletionResult]) -> dict[str, str | None]:
    """The parameters that any request left out (None) or sent under another name."""
    return {
        name: sent_as
        for result in results
        if result.completion is not None
        for name, sent_as in result.completion.refused_parameters.items()
    }


def list_fingerprints(results: Sequence[CompletionResult]) -> tuple[str, ...]:
    """What generated the completions, as the server names it."""
    completions = [result.completion for result in results if result.completion is not None]
    return tuple(sorted({one.system_fingerprint for one in completions if one.system_fingerprint}))


def read_label_probabilities(
    first_tokens: Sequence[Mapping[str, float]],
    prompt_format: PromptFormat,
    expected: Iterable[str],
) -> tuple[Sequence[Mapping[str, float]], str]:
    """The probabilities of the expected labels for each response, or why they are not known."""
    labels = {label for label in expected if label}  # in NFC, as `PromptFormat.parse` returns them
    spellings = {label: label for label in labels}
    spellings |= {
        to_nfc(written.strip()): to_nfc(label)
        for written, label in prompt_format.label_map.items()
        if to_nfc(label) in labels
    }
    likeliest: dict[str, float] = {}
    for tokens in first_tokens:
        for token, probability in tokens.items():
            start = to_nfc(token.strip())
            likeliest[start] = max(probability, likeliest.get(start, 0.0))
    whole = {spellings[start] for start in likeliest if start in spellings}
    starts = sorted(start for start, probability in likeliest.items() if probability >= _LIKELY)
    for spelling, label in sorted(spellings.items()):
        if label in whole:
            continue
        for start in starts:
            if spelling.startswith(start):
                reason = _explain_unknown(label, start, spellings)
                return [{}] * len(first_tokens), f"{reason}; {_ENCODE_LABELS}"
    return [_sum_by_label(tokens, spellings) for tokens in first_tokens], ""


def _explain_unknown(label: str, start: str, spellings: Mapping[str, str]) -> str:
    if start in spellings:
        return f"{label!r} starts with the token of {spellings[start]!r}"
    sharing = {other for spelling, other in spellings.items() if spelling.startswith(start)}
    others = sorted(sharing - {label})
    if start and others:
        return f"{label!r} and {others[0]!r} start with the same token, {start!r}"
    return f"{label!r} has several tokens, and only the first has a probability"


def _sum_by_label(tokens: Mapping[str, float], spellings: Mapping[str, str]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for token, probability in tokens.items():
        label = spellings.get(to_nfc(token.strip()))
        if label is not None:
            sums[label] = min(1.0, sums.get(label, 0.0) + probability)
    return sums
