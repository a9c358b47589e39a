"""What completions and chat completions have in common: the request's fields, drawing the answers,
counting tokens, and sending pieces as server-sent events."""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import orjson
from anyio import to_thread
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from ftops.engine.api.engine import Engine
from ftops.engine.api.errors import ApiError, error_body
from ftops.engine.api.models import get_model
from ftops.engine.api.quotas import RateLimit
from ftops.engine.api.schema import EVENT_STREAM, Finite, Label, RequestBody
from ftops.engine.generation import PooledModel
from ftops.engine.trainer import (
    Document,
    GenerationChunk,
    PromptTooLong,
    SamplingParams,
    TokenLogprob,
)
from ftops.errors import EngineError
from ftops.records import Json, RowFormat

MAX_ANSWERS = 256  # prompts times n, in one request
MAX_PROMPT_BYTES = 1 << 20  # of all prompts of a request: half a second of tokenizing
MAX_LOGPROBS = 1 << 18  # answers times tokens times alternatives, in one request
Result = TypeVar("Result")
_MAX_BIASES = 1024
_log = logging.getLogger(__name__)
_ENDPOINTS = {RowFormat.COMPLETION: "/v1/completions", RowFormat.CHAT: "/v1/chat/completions"}


FinishReason = Literal["stop", "length"]


class ResponseModel(BaseModel):
    """What a model's answer is made of."""

    model_config = ConfigDict(extra="forbid")


class Usage(ResponseModel):
    """How many tokens were read and drawn."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def describe_responses(whole: type[ResponseModel]) -> dict[int | str, dict[str, Any]]:
    """What an endpoint's answers look like, for the engine's description of itself."""
    description = "The answers; with `stream`, pieces of them as server-sent events"
    return {200: {"model": whole, "description": description, "content": EVENT_STREAM}}


Stop = Annotated[str, Field(min_length=1, max_length=1000)]
Penalty = Annotated[Finite, Field(ge=-2, le=2)]


class StreamOptions(RequestBody):
    """What a stream says beside the text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


def _check_bias(value: Any) -> Any:
    """Count before the entries are validated: each bad one would be an error of its own."""
    if isinstance(value, dict) and len(value) > _MAX_BIASES:
        raise ValueError(f"at most {_MAX_BIASES} tokens can have a bias")
    return value


class SamplingRequest(RequestBody):
    """How answers are drawn; null is the same as leaving a field out."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[Finite, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Finite, Field(gt=0, le=1)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: (
        Annotated[
            dict[str, Annotated[Finite, Field(ge=-100, le=100)]], BeforeValidator(_check_bias)
        ]
        | None
    ) = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Label | None = None

    @property
    def includes_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self, *, max_tokens: int, logprobs: int | None) -> SamplingParams:
        """The fields as the trainers take them."""
        stop = self.stop or []
        return SamplingParams(
            max_tokens=max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            seed=self.seed,
            logprobs=logprobs,
            logit_bias=_token_numbers(self.logit_bias or {}),
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
        )


def _token_numbers(bias: Mapping[str, float]) -> dict[int, float]:
    try:
        return {int(token): value for token, value in bias.items()}
    except ValueError:
        message = "logit_bias: its keys are the numbers of tokens."
        raise ApiError(400, message, param="logit_bias", code="invalid_value") from None


def check_unsupported(values: Mapping[str, Any]) -> None:
    """ApiError for the first field that is set: the engine knows it, but cannot honour it."""
    for name, value in values.items():
        if value is not None and value is not False:
            message = f"The engine does not offer {name!r}."
            raise ApiError(400, message, param=name, code="unsupported_parameter")


def open_model(name: str, wanted: RowFormat, engine: Engine) -> PooledModel:
    """The model, ready to answer; ApiError when it was never trained, or on other rows."""
    if name in engine.list_bases():
        message = (
            f"{name!r} is a base model: nothing was ever trained into it, so it cannot answer. "
            "Use the name of a fine-tuned model; a job's `fine_tuned_model` says it."
        )
        raise ApiError(400, message, param="model", code="model_not_trained")
    row = get_model(name, engine)
    try:
        model = engine.model_pool.open(row)
    except EngineError:
        get_model(name, engine)  # 404 when it was deleted a moment ago
        raise
    trained_on = model.manifest.row_format
    if trained_on is not wanted:
        message = f"{name!r} was trained on {trained_on} rows: ask it at {_ENDPOINTS[trained_on]}."
        raise ApiError(400, message, param="model", code="wrong_endpoint")
    return model


def check_max_tokens(param: str, max_tokens: int | None, model: PooledModel) -> None:
    """ApiError when the field `param` asks for a longer answer than the model could ever give."""
    limit = model.loaded.context_length
    if max_tokens is not None and max_tokens > limit:
        message = f"{param} is {max_tokens}; the model takes {limit} tokens, its prompt included."
        raise ApiError(400, message, param=param, code="invalid_value")


class ActiveGeneration:
    """Answers on their way. The first piece is there already, so that refusals come before it."""

    def __init__(
        self,
        model: PooledModel,
        prompts: Sequence[Document],
        params: SamplingParams,
        *,
        asked: str,
        max_requests_per_model: int,
        streams: bool = False,
    ) -> None:
        """`asked` is the request's field that holds the prompt; 429 when the model has as many
        callers as it takes."""
        _check_amount(prompts, params, asked, model)
        self.rate = RateLimit(max_requests_per_model, model.batcher.load, retry_after_s=1)
        self.rate.check("callers wait for this model")
        self._answers = model.generate(prompts, params, is_buffered=not streams)
        self._pieces = iter(self._answers)
        try:
            self._first = next(self._pieces, None)
        except PromptTooLong as error:
            raise _prompt_too_long(f"{error.tokens:,}", error.limit, asked) from error
        except EngineError as error:
            message = f"{error.message}. {error.hint}".strip()
            raise ApiError(400, message, code="invalid_value") from error

    def __iter__(self) -> Iterator[GenerationChunk]:
        if self._first is not None:
            yield self._first
            yield from self._pieces

    def close(self) -> None:
        self._answers.close()


def _check_amount(
    prompts: Sequence[Document], params: SamplingParams, asked: str, model: PooledModel
) -> None:
    """ApiError for more than is answered at once; prompts are measured, not tokenized."""
    if len(prompts) > MAX_ANSWERS:
        message = f"{len(prompts)} answers are asked for at once; {MAX_ANSWERS} are allowed."
        raise ApiError(400, message, param="n", code="invalid_value")
    if params.logprobs is not None:
        n_logprobs = len(prompts) * params.max_tokens * (params.logprobs + 1)
        if n_logprobs > MAX_LOGPROBS:
            message = (
                f"Up to {n_logprobs:,} log probabilities are asked for; {MAX_LOGPROBS:,} are "
                "allowed. Ask for fewer answers, tokens or alternatives in one request."
            )
            raise ApiError(400, message, param="logprobs", code="invalid_value")
    context, longest = model.loaded.context_length, model.loaded.longest_token_bytes
    total = 0
    for prompt in {id(prompt): prompt for prompt in prompts}.values():
        n_bytes = [len(segment.text.encode(errors="replace")) for segment in prompt]
        least = sum(-(-size // longest) or 1 for size in n_bytes)  # a special token has no text
        if least >= context:
            raise _prompt_too_long(f"at least {least:,}", context - 1, asked)
        total += sum(n_bytes)
    if total > MAX_PROMPT_BYTES:
        message = (
            f"The prompts of this request have {total:,} bytes together; {MAX_PROMPT_BYTES:,} are "
            "allowed. Send them in several requests."
        )
        raise ApiError(400, message, param=asked, code="context_length_exceeded")


def _prompt_too_long(tokens: str, limit: int, asked: str) -> ApiError:
    message = (
        f"The prompt has {tokens} tokens; the model takes {limit:,} at most, its answer included."
    )
    return ApiError(400, message, param=asked, code="context_length_exceeded")


async def run_in_model_thread(
    engine: Engine, function: Callable[..., Result], *args: Any
) -> Result:
    """Run what waits for a model in one of the owner's threads.

    The threads that all other requests share stay free, whatever one owner asks its models.
    """
    limiter = engine.model_pool.get_limiter(engine.owner)
    return await to_thread.run_sync(partial(function, *args), limiter=limiter)


def send_completion(generation: ActiveGeneration, document: Mapping[str, Json]) -> Response:
    """The whole answer; rendered by a fast encoder, as it may have many figures."""
    body = orjson.dumps(document)
    return Response(body, media_type="application/json", headers=generation.rate.headers())


@dataclass(slots=True)
class CollectedAnswer:
    """All pieces of one answer."""

    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    n_tokens: int = 0
    finish_reason: str = "stop"


def collect_answers(generation: ActiveGeneration, count: int) -> list[CollectedAnswer]:
    """Wait for all answers."""
    answers = [CollectedAnswer() for _ in range(count)]
    for delta in generation:
        answer = answers[delta.index]
        answer.text += delta.text
        answer.logprobs += delta.logprobs
        answer.n_tokens += delta.n_tokens
        answer.finish_reason = delta.finish_reason or answer.finish_reason
    return answers


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, Json]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def send_stream(
    generation: ActiveGeneration, chunks: Iterable[Mapping[str, Json]], engine: Engine
) -> StreamingResponse:
    """Send each chunk as an event, then `[DONE]`; a client that goes away ends the drawing."""
    iterator = iter(chunks)

    async def body() -> AsyncIterator[bytes]:
        try:
            while (chunk := await run_in_model_thread(engine, next, iterator, None)) is not None:
                yield b"data: " + orjson.dumps(chunk) + b"\n\n"
            yield b"data: [DONE]\n\n"
        except Exception as error:
            # The status has been sent: an event is the only way left to say it.
            _log.error("a stream broke off", exc_info=error)
            message = "The engine made a mistake; its log (engine.log) says more."
            failure = error_body(500, message, code="internal_error")
            yield b"data: " + orjson.dumps(failure) + b"\n\n"
        finally:
            generation.close()

    headers = {"cache-control": "no-cache", "x-accel-buffering": "no", **generation.rate.headers()}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)
