"""`POST /v1/completions`: completions of prompts by fine-tuned models."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from ftops.engine.api.engine import Engine, EngineDependency
from ftops.engine.api.inference import (
    ActiveGeneration,
    FinishReason,
    ResponseModel,
    SamplingRequest,
    Usage,
    check_max_tokens,
    check_unsupported,
    collect_answers,
    describe_responses,
    open_model,
    run_in_model_thread,
    send_completion,
    send_stream,
    start_document,
    usage,
)
from ftops.engine.api.routing import JsonRoute
from ftops.engine.api.schema import Label, Text
from ftops.engine.trainer import TokenLogprob
from ftops.records import Json, RowFormat

router = APIRouter(prefix="/v1/completions", tags=["completions"], route_class=JsonRoute)
_DEFAULT_MAX_TOKENS = 16


class CompletionLogprobs(ResponseModel):
    """The tokens of a text; an echoed prompt is one token with nulls."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(ResponseModel):
    """One answer."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason


class Completion(ResponseModel):
    """The answers to a prompt, or to several."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage
    system_fingerprint: str | None = None


ANSWERS = describe_responses(Completion)


class CreateCompletion(SamplingRequest):
    """A request with one prompt or several."""

    prompt: (
        Text | Annotated[list[Text], Field(min_length=1, max_length=256, fail_fast=True)] | None
    ) = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    best_of: int | None = None
    suffix: Label | None = None


class CreateEngineCompletion(CreateCompletion):
    """A request with the model in the path; optional in the body."""

    model: str | None = None  # type: ignore[assignment]


@router.post("", response_model=None, responses=ANSWERS)
async def create_completion(body: CreateCompletion, engine: EngineDependency) -> Response:
    """Complete one prompt or several, `n` times each; `stream` sends chunks."""
    return await run_in_model_thread(engine, _answer, body, engine)


def _answer(body: CreateCompletion, engine: Engine) -> Response:
    n = body.n or 1
    check_unsupported(
        {"suffix": body.suffix or None, "best_of": None if body.best_of in (None, n) else n}
    )
    model = open_model(body.model, RowFormat.COMPLETION, engine)
    check_max_tokens("max_tokens", body.max_tokens, model)
    prompts = [body.prompt or ""] if not isinstance(body.prompt, list) else body.prompt
    params = body.sampling(
        max_tokens=body.max_tokens or _DEFAULT_MAX_TOKENS, logprobs=body.logprobs
    )
    repeated = [prompt for prompt in prompts for _ in range(n)]
    generation = ActiveGeneration(
        model,
        repeated,
        params,
        param="prompt",
        max_requests_per_model=engine.settings.max_requests_per_model,
        streams=bool(body.stream),
    )
    head = start_document("text_completion", "cmpl", body.model, engine.store.now(), generation)
    writer = _CompletionWriter(body, repeated, head)
    prompt_tokens = model.count_tokens(prompts)
    if body.stream:
        return send_stream(generation, writer.chunks(generation, prompt_tokens), engine)
    return send_completion(generation, writer.whole(generation, prompt_tokens))


class _CompletionWriter:
    """Renders answers as objects of the API, complete or in chunks.

    `prompts` has one entry for each answer.
    """

    def __init__(
        self, body: CreateCompletion, prompts: Sequence[str], head: dict[str, Json]
    ) -> None:
        self._body = body
        self._echoes = prompts if body.echo else [""] * len(prompts)
        self._has_logprobs = body.logprobs is not None
        self._head = head

    def whole(self, generation: ActiveGeneration, prompt_tokens: int) -> dict[str, Json]:
        answers = collect_answers(generation, len(self._echoes))
        choices: list[Json] = []
        for index, (echo, answer) in enumerate(zip(self._echoes, answers, strict=True)):
            logprobs = self._logprobs(answer.logprobs, 0, echo)
            choices.append(_choice(index, echo + answer.text, logprobs, answer.finish_reason))
        used = usage(prompt_tokens, sum(answer.n_tokens for answer in answers))
        return {**self._head, "choices": choices, "usage": used}

    def chunks(self, generation: ActiveGeneration, prompt_tokens: int) -> Iterator[dict[str, Json]]:
        more: dict[str, Json] = {"usage": None} if self._body.includes_usage else {}
        offsets = [len(echo) for echo in self._echoes]
        n_tokens = 0
        for index, echo in enumerate(self._echoes):
            if echo:
                yield {
                    **self._head,
                    "choices": [_choice(index, echo, self._logprobs((), 0, echo), None)],
                    **more,
                }
        for chunk in generation:
            n_tokens += chunk.n_tokens
            logprobs = self._logprobs(chunk.logprobs, offsets[chunk.index])
            offsets[chunk.index] += len(chunk.text)
            choice = _choice(chunk.index, chunk.text, logprobs, chunk.finish_reason)
            yield {**self._head, "choices": [choice], **more}
        if self._body.includes_usage:
            yield {**self._head, "choices": [], "usage": usage(prompt_tokens, n_tokens)}

    def _logprobs(
        self, entries: Sequence[TokenLogprob], offset: int, echo: str = ""
    ) -> dict[str, Json] | None:
        """The tokens of a text; an echoed prompt is one token without values."""
        if not self._has_logprobs:
            return None
        tokens = [echo] if echo else []
        values: list[Json] = [None] if echo else []
        tops: list[Json] = [None] if echo else []
        for entry in entries:
            tokens.append(entry.token)
            values.append(entry.logprob)
            tops.append(dict(entry.top))
        offsets: list[Json] = []
        for token in tokens:
            offsets.append(offset)
            offset += len(token)
        return {
            "tokens": list(tokens),
            "token_logprobs": values,
            "top_logprobs": tops,
            "text_offset": offsets,
        }


def _choice(
    index: int, text: str, logprobs: dict[str, Json] | None, finish_reason: str | None
) -> dict[str, Json]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
