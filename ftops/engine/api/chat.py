"""`POST /v1/chat/completions`: answers of models that were fine-tuned on chats."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from ftops.engine.api.engine import Engine, EngineDependency
from ftops.engine.api.errors import ApiError
from ftops.engine.api.inference import (
    ActiveGeneration,
    CollectedAnswer,
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
from ftops.engine.api.json_schema import is_supported, read_response_format
from ftops.engine.api.routing import JsonRoute
from ftops.engine.api.schema import Label, Metadata, RequestBody, Text
from ftops.engine.generation import PooledModel
from ftops.engine.lora.serving import ServedModel
from ftops.engine.trainer import ChatPrompt, TokenLogprob
from ftops.engine.training_file import Turn
from ftops.records import Json, RowFormat
from ftops.rows.messages import JsonObject

router = APIRouter(prefix="/v1/chat/completions", tags=["chat"], route_class=JsonRoute)


class TextPart(RequestBody):
    """A part of a message; only text is supported."""

    type: Literal["text"]
    text: Text


class CalledFunction(RequestBody):
    """A function and its arguments, a JSON object as text."""

    name: Label
    arguments: Text


class MessageToolCall(RequestBody):
    """A call of a tool."""

    id: Label
    type: Literal["function"]
    function: CalledFunction


class ChatMessage(RequestBody):
    """A message of the chat; `tool_calls` of the assistant, and their results by `tool`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Annotated[list[TextPart], Field(fail_fast=True)] | None = None
    name: Label | None = None
    refusal: None = None
    tool_calls: Annotated[list[MessageToolCall], Field(max_length=128)] | None = None
    tool_call_id: Label | None = None


class Function(RequestBody):
    """A function that the model may call; `parameters` is a JSON schema."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: Any = None


class Tool(RequestBody):
    """A tool that the model may call."""

    type: Literal["function"]
    function: Function


class NamedFunction(RequestBody):
    """The name of a function."""

    name: Label


class NamedTool(RequestBody):
    """The tool that the model has to call."""

    type: Literal["function"]
    function: NamedFunction


class CreateChatCompletion(SamplingRequest):
    """A request. Fields typed `Any` are fields of the API that the engine does not support."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1000, fail_fast=True)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    metadata: Metadata | None = None
    service_tier: Label | None = None
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None
    response_format: Any = None
    store: Any = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    functions: Any = None
    function_call: Any = None
    modalities: Any = None
    audio: Any = None
    prediction: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    web_search_options: Any = None


class ChatToken(ResponseModel):
    """A token, its natural log probability, and its bytes in UTF-8."""

    token: str
    logprob: float
    bytes: list[int]


class ChatTokenLogprob(ChatToken):
    """A sampled token and the most likely ones in its place."""

    top_logprobs: list[ChatToken]


class ChatLogprobs(ResponseModel):
    """The tokens of a message."""

    content: list[ChatTokenLogprob]
    refusal: None


class AnswerMessage(ResponseModel):
    """The message of the assistant; `content` is null when it only calls tools."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[dict[str, Any]] | None = None


class ChatChoice(ResponseModel):
    """One answer."""

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(ResponseModel):
    """The answers to a chat."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    system_fingerprint: str | None = None


@router.post("", response_model=None, responses=describe_responses(ChatCompletion))
async def create_chat_completion(body: CreateChatCompletion, engine: EngineDependency) -> Response:
    """Generate the assistant's next message, `n` times; `stream` sends chunks."""
    return await run_in_model_thread(engine, _answer, body, engine)


def _answer(body: CreateChatCompletion, engine: Engine) -> Response:
    _check_fields(body)
    _check_contents(body.messages)
    model = open_model(body.model, RowFormat.CHAT, engine)
    check_max_tokens("max_completion_tokens", body.max_completion_tokens, model)
    check_max_tokens("max_tokens", body.max_tokens, model)
    _check_served(body, model)
    prompt = ChatPrompt(tuple(map(_read_turn, body.messages)), _list_tools(body))
    limit = body.max_completion_tokens or body.max_tokens or model.loaded.context_length
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    n = body.n or 1
    params = replace(
        body.sampling(max_tokens=limit, logprobs=logprobs),
        json_schema=read_response_format(body.response_format),
        forced_calls=_list_forced_calls(body),
        parallel_tool_calls=body.parallel_tool_calls is not False,
    )
    generation = ActiveGeneration(
        model,
        [prompt] * n,
        params,
        param="messages",
        max_requests_per_model=engine.settings.max_requests_per_model,
        streams=bool(body.stream),
    )
    prompt_tokens = model.count_tokens([prompt])
    kind = "chat.completion.chunk" if body.stream else "chat.completion"
    head = start_document(kind, "chatcmpl", body.model, engine.store.now(), generation)
    writer = _ChatWriter(body, n, head)
    if body.stream:
        return send_stream(generation, writer.chunks(generation, prompt_tokens), engine)
    return send_completion(generation, writer.whole(generation, prompt_tokens))


def _check_fields(body: CreateChatCompletion) -> None:
    check_unsupported(
        {
            "modalities": None if body.modalities in (None, ["text"]) else True,
            "functions": body.functions or None,
            "function_call": None if body.function_call in (None, "none") else True,
            "store": body.store,
            "audio": body.audio,
            "prediction": body.prediction,
            "reasoning_effort": body.reasoning_effort,
            "verbosity": body.verbosity,
            "web_search_options": body.web_search_options,
        }
    )
    if body.top_logprobs is not None and not body.logprobs:
        message = "top_logprobs needs logprobs."
        raise ApiError(400, message, param="top_logprobs", code="invalid_value")


def _check_contents(messages: Sequence[ChatMessage]) -> None:
    """ApiError for a message that has neither content nor calls."""
    for place, message in enumerate(messages):
        if message.content is None and not message.tool_calls:
            param = f"messages.{place}.content"
            reason = f"Missing required parameter: {param!r}."
            raise ApiError(400, reason, param=param, code="missing_required_parameter")


def _check_served(body: CreateChatCompletion, model: PooledModel) -> None:
    """ApiError for what the model cannot do."""
    schema = read_response_format(body.response_format)
    if not isinstance(model.loaded, ServedModel):
        check_unsupported({"response_format": schema})
    uses_tools = body.tools or any(message.tool_calls for message in body.messages)
    if uses_tools and not (isinstance(model.loaded, ServedModel) and model.loaded.has_tools):
        message = "tools: the chat template of this model has no tools."
        raise ApiError(400, message, param="tools", code="unsupported_parameter")


def _list_tools(body: CreateChatCompletion) -> tuple[JsonObject, ...]:
    if body.tool_choice == "none":
        return ()
    return tuple(tool.model_dump(exclude_none=True) for tool in body.tools or ())


def _list_forced_calls(body: CreateChatCompletion) -> dict[str, JsonObject]:
    """The functions one of which has to be called, with the schemas of their arguments.

    A schema that cannot restrict an answer stands for any object. ApiError when no tool has the
    name.
    """
    choice = body.tool_choice
    if choice in (None, "none", "auto"):
        return {}
    functions = [tool.function for tool in body.tools or ()]
    if isinstance(choice, NamedTool):
        functions = [function for function in functions if function.name == choice.function.name]
    if not functions:
        message = "tool_choice: the function to call is missing in tools."
        raise ApiError(400, message, param="tool_choice", code="invalid_value")
    schemas: dict[str, JsonObject] = {}
    for function in functions:
        schema = function.parameters or {}
        schemas[function.name] = {**(schema if is_supported(schema) else {}), "type": "object"}
    return schemas


def _read_turn(message: ChatMessage) -> Turn:
    calls = tuple(call.model_dump() for call in message.tool_calls or ())
    content = message.content or ""
    if not isinstance(content, str):
        content = "".join(part.text for part in content)
    return Turn(
        message.role,
        content,
        tool_calls=calls,
        tool_call_id=message.tool_call_id or "",
        name=message.name or "",
    )


class _ChatWriter:
    """Renders answers as objects of the API, complete or in chunks."""

    def __init__(self, body: CreateChatCompletion, n: int, head: dict[str, Json]) -> None:
        self._body = body
        self._n = n
        self._head = head

    def whole(self, generation: ActiveGeneration, prompt_tokens: int) -> dict[str, Json]:
        answers = collect_answers(generation, self._n)
        choices: list[Json] = [
            {
                "index": index,
                "message": _message(answer),
                "logprobs": self._logprobs(answer.logprobs),
                "finish_reason": answer.finish_reason,
            }
            for index, answer in enumerate(answers)
        ]
        used = usage(prompt_tokens, sum(answer.n_tokens for answer in answers))
        return {**self._head, "choices": choices, "usage": used}

    def chunks(self, generation: ActiveGeneration, prompt_tokens: int) -> Iterator[dict[str, Json]]:
        more: dict[str, Json] = {"usage": None} if self._body.includes_usage else {}
        n_tokens = 0
        for index in range(self._n):
            opening: dict[str, Json] = {"role": "assistant", "content": ""}
            yield {**self._head, "choices": [_chunk_choice(index, opening)], **more}
        for chunk in generation:
            n_tokens += chunk.n_tokens
            if chunk.text or chunk.logprobs:
                logprobs = self._logprobs(chunk.logprobs)
                choice = _chunk_choice(chunk.index, {"content": chunk.text}, logprobs)
                yield {**self._head, "choices": [choice], **more}
            if chunk.tool_calls:
                calls: list[Json] = [
                    {"index": place, **call} for place, call in enumerate(chunk.tool_calls)
                ]
                choice = _chunk_choice(chunk.index, {"tool_calls": calls})
                yield {**self._head, "choices": [choice], **more}
            if chunk.finish_reason is not None:
                choice = _chunk_choice(chunk.index, {}, None, chunk.finish_reason)
                yield {**self._head, "choices": [choice], **more}
        if self._body.includes_usage:
            yield {**self._head, "choices": [], "usage": usage(prompt_tokens, n_tokens)}

    def _logprobs(self, entries: Sequence[TokenLogprob]) -> dict[str, Json] | None:
        if not self._body.logprobs:
            return None
        content: list[Json] = [
            {
                **_token(entry.token, entry.logprob),
                "top_logprobs": [_token(token, value) for token, value in entry.top.items()],
            }
            for entry in entries
        ]
        return {"content": content, "refusal": None}


def _message(answer: CollectedAnswer) -> dict[str, Json]:
    message: dict[str, Json] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.tool_calls:
        message |= {"content": answer.text or None, "tool_calls": list(answer.tool_calls)}
    return message


def _token(token: str, logprob: float) -> dict[str, Json]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _chunk_choice(
    index: int,
    delta: dict[str, Json],
    logprobs: dict[str, Json] | None = None,
    finish_reason: str | None = None,
) -> dict[str, Json]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
