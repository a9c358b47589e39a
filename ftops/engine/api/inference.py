"""The common part of completions and chat completions: request fields, limits and streaming."""

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
from ftops.engine.api.errors import UNAVAILABLE, ApiError, error_body
from ftops.engine.api.models import get_model
from ftops.engine.api.quotas import RateLimit
from ftops.engine.api.schema import EVENT_STREAM, Finite, Label, RequestBody
from ftops.engine.generation import PooledModel
from ftops.engine.ids import new_id
from ftops.engine.lora.serving import ServedModel
from ftops.engine.trainer import (
    GenerationChunk,
    ModelUnavailable,
    Prompt,
    PromptTooLong,
    SamplingParams,
    TokenLogprob,
)
from ftops.errors import EngineError
from ftops.lora_options import Precision
from ftops.records import Json, RowFormat
from ftops.rows.messages import JsonObject

MAX_ANSWERS = 256  # of one request: prompts times n
MAX_PROMPT_BYTES = 1 << 20  # of all prompts of a request: tokenizing takes half a second
MAX_LOGPROBS = 1 << 18  # of one request: answers times tokens times alternatives
Result = TypeVar("Result")
_MAX_BIASES = 1024
_log = logging.getLogger(__name__)
_ENDPOINTS = {RowFormat.COMPLETION: "/v1/completions", RowFormat.CHAT: "/v1/chat/completions"}


FinishReason = Literal["stop", "length", "tool_calls"]


class ResponseModel(BaseModel):
    """A response. The schemas describe responses in `/openapi.json`; they do not validate them, as
    there are thousands of chunks per second."""

    model_config = ConfigDict(extra="forbid")


class Usage(ResponseModel):
    """Numbers of tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def describe_responses(whole: type[ResponseModel]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of an endpoint's responses."""
    description = "The answers; with `stream`, chunks of them as server-sent events"
    return {200: {"model": whole, "description": description, "content": EVENT_STREAM}}


Stop = Annotated[str, Field(min_length=1, max_length=1000)]
Penalty = Annotated[Finite, Field(ge=-2, le=2)]


class StreamOptions(RequestBody):
    """Options of a stream."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


def _check_bias(value: Any) -> Any:
    """Check the number of entries before validation, which reports an error for each."""
    if isinstance(value, dict) and len(value) > _MAX_BIASES:
        raise ValueError(f"at most {_MAX_BIASES} tokens can have a bias")
    return value


class SamplingRequest(RequestBody):
    """The sampling fields of a request; null is the default."""

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
    precision: Precision | None = None  # an extension; see `check_precision`

    @property
    def includes_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self, *, max_tokens: int, logprobs: int | None) -> SamplingParams:
        """The fields as sampling parameters of a trainer."""
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
            precision=self.precision,
        )


def _token_numbers(bias: Mapping[str, float]) -> dict[int, float]:
    try:
        return {int(token): value for token, value in bias.items()}
    except ValueError:
        message = "logit_bias: the keys have to be token ids."
        raise ApiError(400, message, param="logit_bias", code="invalid_value") from None


def check_unsupported(values: Mapping[str, Any]) -> None:
    """ApiError for the first of these fields that is set: the engine does not support them."""
    for name, value in values.items():
        if value is not None and value is not False:
            message = f"The engine does not support {name!r}."
            raise ApiError(400, message, param=name, code="unsupported_parameter")


def open_model(name: str, row_format: RowFormat, engine: Engine) -> PooledModel:
    """The loaded model; ApiError for a base model, or one trained on rows of another format."""
    base = engine.model_pool.find_base(name)
    if base is not None:
        _check_base(name, base, row_format)
        return base
    if name in engine.list_bases():
        message = (
            f"{name!r} is a base model with random weights: it cannot answer. "
            "Use the name of a fine-tuned model, the `fine_tuned_model` of a job."
        )
        raise ApiError(400, message, param="model", code="model_not_trained")
    row = get_model(name, engine)
    try:
        model = engine.model_pool.open(row)
    except EngineError:
        get_model(name, engine)  # 404 if it was deleted just now
        raise
    assert model.manifest is not None  # of a fine-tuned model
    trained_on = model.manifest.row_format
    if trained_on is not row_format:
        message = f"{name!r} was trained on {trained_on} rows: use {_ENDPOINTS[trained_on]}."
        raise ApiError(400, message, param="model", code="wrong_endpoint")
    return model


def _check_base(name: str, model: PooledModel, row_format: RowFormat) -> None:
    has_chats = isinstance(model.loaded, ServedModel) and model.loaded.has_chats
    if row_format is RowFormat.CHAT and not has_chats:
        message = f"{name!r} has no chat template: use {_ENDPOINTS[RowFormat.COMPLETION]}."
        raise ApiError(400, message, param="model", code="wrong_endpoint")


def check_max_tokens(param: str, max_tokens: int | None, model: PooledModel) -> None:
    """ApiError when the field `param` exceeds the model's context length."""
    limit = model.loaded.context_length
    if max_tokens is not None and max_tokens > limit:
        message = (
            f"{param} is {max_tokens}; the model's context has {limit} tokens, prompt included."
        )
        raise ApiError(400, message, param=param, code="invalid_value")


def check_precision(precision: str | None, model: PooledModel) -> None:
    """ApiError when the model is not served with weights of this precision.

    Pre-trained models are served as is fastest, unless a request has another `precision`, as an
    evaluation has. Models of the trainer `tiny` are always fp32. `system_fingerprint` of the
    response has what answered.
    """
    if precision in ("bf16", "q8_0") and not isinstance(model.loaded, ServedModel):
        message = "precision: this model is served in fp32 only."
        raise ApiError(400, message, param="precision", code="unsupported_value")


class ActiveGeneration:
    """A started generation. It waits for the first chunk, so that errors precede the response."""

    def __init__(
        self,
        model: PooledModel,
        prompts: Sequence[Prompt],
        params: SamplingParams,
        *,
        param: str,
        max_requests_per_model: int,
        streams: bool = False,
    ) -> None:
        """`param` is the field of the prompt; ApiError 429 for too many requests to the model."""
        _check_size(prompts, params, param, model)
        self.rate = RateLimit(max_requests_per_model, model.load, retry_after_s=1)
        self.rate.check("requests to this model")
        check_precision(params.precision, model)
        self._request = model.generate(prompts, params, is_buffered=not streams)
        self._chunks = iter(self._request)
        try:
            self._first = next(self._chunks, None)
        except PromptTooLong as error:
            raise _prompt_too_long(f"{error.tokens:,}", error.limit, param) from error
        except EngineError as error:
            message = f"{error.message}. {error.hint}".strip()
            raise ApiError(400, message, code="invalid_value") from error

    @property
    def system_fingerprint(self) -> str:
        """What generates the answers; known with the first chunk."""
        return self._request.system_fingerprint

    def __iter__(self) -> Iterator[GenerationChunk]:
        if self._first is not None:
            yield self._first
            yield from self._chunks

    def close(self) -> None:
        self._request.close()


def _check_size(
    prompts: Sequence[Prompt], params: SamplingParams, param: str, model: PooledModel
) -> None:
    """ApiError when the request is too large; prompts are measured, not tokenized."""
    if len(prompts) > MAX_ANSWERS:
        message = f"The request has {len(prompts)} answers; the maximum is {MAX_ANSWERS}."
        raise ApiError(400, message, param="n", code="invalid_value")
    if params.logprobs is not None:
        n_logprobs = len(prompts) * params.max_tokens * (params.logprobs + 1)
        if n_logprobs > MAX_LOGPROBS:
            message = (
                f"The request has up to {n_logprobs:,} log probabilities; the maximum is "
                f"{MAX_LOGPROBS:,}. Request fewer answers, tokens or alternatives."
            )
            raise ApiError(400, message, param="logprobs", code="invalid_value")
    context, longest = model.loaded.context_length, model.loaded.longest_token_bytes
    total = 0
    for prompt in {id(prompt): prompt for prompt in prompts}.values():
        n_bytes = [len(text.encode(errors="replace")) for text in _list_texts(prompt)]
        least = sum(-(-size // longest) for size in n_bytes)
        if least >= context:
            raise _prompt_too_long(f"at least {least:,}", context - 1, param)
        total += sum(n_bytes)
    if total > MAX_PROMPT_BYTES:
        message = (
            f"The prompts of this request have {total:,} bytes together; the maximum is "
            f"{MAX_PROMPT_BYTES:,}. Send them in several requests."
        )
        raise ApiError(400, message, param=param, code="context_length_exceeded")


def _list_texts(prompt: Prompt) -> list[str]:
    """All texts of the prompt, those of tools as JSON."""
    if isinstance(prompt, str):
        return [prompt]
    texts = [turn.content for turn in prompt.turns]
    calls = [call for turn in prompt.turns for call in turn.tool_calls]
    return texts + [orjson.dumps(value).decode() for value in (*prompt.tools, *calls)]


def _prompt_too_long(tokens: str, limit: int, param: str) -> ApiError:
    message = f"The prompt has {tokens} tokens; the model accepts {limit:,}, the answer included."
    return ApiError(400, message, param=param, code="context_length_exceeded")


async def run_in_model_thread(
    engine: Engine, function: Callable[..., Result], *args: Any
) -> Result:
    """Run a function that waits for a model in one of the owner's threads.

    This keeps the threads that other requests share free, whatever one owner requests.
    """
    limiter = engine.model_pool.get_limiter(engine.owner)
    return await to_thread.run_sync(partial(function, *args), limiter=limiter)


def send_completion(generation: ActiveGeneration, document: Mapping[str, Json]) -> Response:
    """The complete response, rendered by a fast encoder, as it may have many numbers."""
    body = orjson.dumps(document)
    return Response(body, media_type="application/json", headers=generation.rate.headers())


@dataclass(slots=True)
class CollectedAnswer:
    """All chunks of one answer."""

    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    n_tokens: int = 0
    finish_reason: str = "stop"
    tool_calls: tuple[JsonObject, ...] = ()


def collect_answers(generation: ActiveGeneration, count: int) -> list[CollectedAnswer]:
    """Wait for all chunks of all answers."""
    answers = [CollectedAnswer() for _ in range(count)]
    for chunk in generation:
        answer = answers[chunk.index]
        answer.text += chunk.text
        answer.logprobs += chunk.logprobs
        answer.n_tokens += chunk.n_tokens
        answer.finish_reason = chunk.finish_reason or answer.finish_reason
        answer.tool_calls += chunk.tool_calls
    return answers


def start_document(
    kind: str, prefix: str, model: str, now: int, generation: ActiveGeneration
) -> dict[str, Json]:
    """The fields that a response and all its chunks begin with."""
    head: dict[str, Json] = {
        "id": new_id(prefix),
        "object": kind,
        "created": now,
        "model": model,
    }
    if generation.system_fingerprint:
        head["system_fingerprint"] = generation.system_fingerprint
    return head


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, Json]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def send_stream(
    generation: ActiveGeneration, chunks: Iterable[Mapping[str, Json]], engine: Engine
) -> StreamingResponse:
    """Send each chunk as an event, then `[DONE]`; a disconnect ends the generation."""
    iterator = iter(chunks)

    async def body() -> AsyncIterator[bytes]:
        try:
            while (chunk := await run_in_model_thread(engine, next, iterator, None)) is not None:
                yield b"data: " + orjson.dumps(chunk) + b"\n\n"
            yield b"data: [DONE]\n\n"
        except Exception as error:
            # The status has been sent, so the error becomes an event.
            _log.error("a stream failed", exc_info=error)
            message = "The engine had an internal error. See engine.log for details."
            failure = error_body(500, message, code="internal_error")
            if isinstance(error, ModelUnavailable):
                failure = error_body(503, str(error), code=UNAVAILABLE)
            yield b"data: " + orjson.dumps(failure) + b"\n\n"
        finally:
            generation.close()

    headers = {"cache-control": "no-cache", "x-accel-buffering": "no", **generation.rate.headers()}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)
