"""Completions: complete ones for many prompts, or one in a stream.

A text is sent to the completions endpoint, several texts in one request; a list of messages to the
chat endpoint, a few requests at a time. Completions keep the order of their prompts.
"""

import codecs
import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import Any, TypeVar

import openai

from ftops.clock import Clock
from ftops.errors import InvalidResponse, Unavailable
from ftops.http.client import make_timeout
from ftops.http.response import JsonObject, read_event_data
from ftops.providers.openai_client import OpenAIClient
from ftops.providers.refused_parameters import (
    RefusedParameters,
    render_chat_sampling,
    render_text_sampling,
)
from ftops.records import Chat, Completion, Json, Prompt, Sampling
from ftops.rows.tools import read_calls

T = TypeVar("T")

MAX_TEXTS_PER_REQUEST = 64
MAX_CONCURRENT_CHATS = 8
_DONE = b"[DONE]"
# The finish_reason of responses that the server could not finish.
_FAILED_REASONS = frozenset(
    {"error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource"}
)
_RUN_AGAIN = "Run the same command again."
_RUN_AGAIN_FOR_WHOLE = "Only a part of the response arrived; run the same command again."
_TIMEOUT_S = 300.0  # a model may need minutes for many prompts


def complete(
    api: OpenAIClient,
    refused: RefusedParameters,
    model: str,
    prompts: Sequence[Prompt],
    sampling: Sampling,
) -> list[Completion]:
    """One completion for each prompt, in their order."""
    texts = {at: prompt for at, prompt in enumerate(prompts) if isinstance(prompt, str)}
    chats = {at: prompt for at, prompt in enumerate(prompts) if not isinstance(prompt, str)}
    completions: dict[int, Completion] = {}
    positions = list(texts)
    for start in range(0, len(positions), MAX_TEXTS_PER_REQUEST):
        batch = positions[start : start + MAX_TEXTS_PER_REQUEST]
        batch_completions = _complete_texts(
            api, refused, model, [texts[at] for at in batch], sampling
        )
        completions.update(zip(batch, batch_completions, strict=True))
    if chats:
        with ThreadPoolExecutor(min(MAX_CONCURRENT_CHATS, len(chats)), "ftops-chat") as pool:
            futures = {
                at: pool.submit(
                    copy_context().run, _complete_chat, api, refused, model, chat, sampling
                )
                for at, chat in chats.items()
            }
            try:
                completions.update({at: future.result() for at, future in futures.items()})
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [completions[at] for at in range(len(prompts))]


def stream(
    api: OpenAIClient,
    refused: RefusedParameters,
    model: str,
    prompt: Prompt,
    sampling: Sampling,
) -> Iterator[str]:
    """Stream one completion; the request is repeated only while no piece has arrived.

    Raises InvalidResponse, after the pieces, for a completion without an end.
    """
    action = f"request a completion from {model}"
    is_text = isinstance(prompt, str)

    def open_stream(sdk: openai.OpenAI, parameters: dict[str, Any]) -> Iterator[str]:
        options = parameters | {"stream": True, "timeout": make_timeout(_TIMEOUT_S)}
        stream: openai.Stream[Any]
        if isinstance(prompt, str):
            stream = sdk.completions.create(model=model, prompt=prompt, **options)
        else:
            messages: Any = prompt.to_json()["messages"]
            stream = sdk.chat.completions.create(model=model, messages=messages, **options)
        pieces = filter(None, _read_pieces(api, action, stream))
        return itertools.chain([next(pieces, "")], pieces)

    pieces, _ = refused.send(
        model,
        render_text_sampling(sampling)
        if isinstance(prompt, str)
        else {**render_chat_sampling(sampling), **prompt.options},
        lambda parameters: api.send(action, lambda sdk: open_stream(sdk, parameters)),
        chat=not is_text,
    )
    # The first and the last piece often hold a role or a reason, and no text.
    yield from filter(None, _join_surrogates(pieces))


def _join_surrogates(pieces: Iterator[str]) -> Iterator[str]:
    """Join surrogate pairs, which some servers split between two pieces."""
    decoder = codecs.getincrementaldecoder("utf-16-le")(errors="replace")
    for piece in pieces:
        yield decoder.decode(piece.encode("utf-16-le", "surrogatepass"))
    yield decoder.decode(b"", final=True)


def _complete_texts(
    api: OpenAIClient, refused: RefusedParameters, model: str, texts: list[str], sampling: Sampling
) -> list[Completion]:
    timer = _Timer(api.clock)
    fields, changes = refused.send(
        model,
        render_text_sampling(sampling),
        lambda parameters: api.fetch(
            f"request a completion from {model}",
            lambda sdk: timer.time(
                lambda: sdk.completions.with_raw_response.create(
                    model=model, prompt=texts, timeout=make_timeout(_TIMEOUT_S), **parameters
                )
            ),
        ),
        chat=False,
    )
    choices = fields.get_objects("choices")
    if len(choices) != len(texts):
        raise fields.malformed(f"{len(choices)} completions for {len(texts)} prompts")
    choices.sort(key=lambda choice: choice.find_int("index") or 0)  # stable without an index
    completions = [_read_completion(choice, choice.values.get("text")) for choice in choices]
    usage = fields.get_object("usage")
    prompt_tokens = split_tokens(usage.find_int("prompt_tokens"), texts)
    completion_tokens = split_tokens(
        usage.find_int("completion_tokens"), [completion.text for completion in completions]
    )
    return [
        replace(
            completion,
            prompt_tokens=prompt_tokens[at],
            completion_tokens=completion_tokens[at],
            seconds=timer.seconds,
            shared=len(texts),
            refused_parameters=changes,
            system_fingerprint=fields.find_text("system_fingerprint"),
        )
        for at, completion in enumerate(completions)
    ]


def _complete_chat(
    api: OpenAIClient,
    refused: RefusedParameters,
    model: str,
    chat: Chat,
    sampling: Sampling,
) -> Completion:
    timer = _Timer(api.clock)
    messages: Any = chat.to_json()["messages"]
    fields, changes = refused.send(
        model,
        {**render_chat_sampling(sampling), **chat.options},
        lambda parameters: api.fetch(
            f"request a completion from {model}",
            lambda sdk: timer.time(
                lambda: sdk.chat.completions.with_raw_response.create(
                    model=model,
                    messages=messages,
                    timeout=make_timeout(_TIMEOUT_S),
                    **parameters,
                )
            ),
        ),
        chat=True,
    )
    choices = fields.get_objects("choices")
    if not choices:
        raise InvalidResponse(
            f"{fields.action}: the response is empty: it has no choices", hint=_RUN_AGAIN
        )
    message = choices[0].get_object("message")
    usage = fields.get_object("usage")
    return replace(
        _read_completion(choices[0], message.values.get("content")),
        refusal=message.find_text("refusal"),
        tool_calls=read_calls(message.values),
        prompt_tokens=usage.find_int("prompt_tokens"),
        completion_tokens=usage.find_int("completion_tokens"),
        seconds=timer.seconds,
        refused_parameters=changes,
        system_fingerprint=fields.find_text("system_fingerprint"),
    )


class _Timer:
    """Times the last attempt at a request."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds = 0.0

    def time(self, send: Callable[[], T]) -> T:
        started_s = self._clock.monotonic_s()
        try:
            return send()
        finally:
            self.seconds = self._clock.monotonic_s() - started_s


def _read_completion(choice: JsonObject, text: object) -> Completion:
    _check_finish_reason(choice)
    # Some servers leave the field out; an unfinished completion has null there.
    if choice.values.get("finish_reason", "") is None:
        raise InvalidResponse(
            f"{choice.action}: the response was cut off: its finish_reason is null",
            hint=_RUN_AGAIN_FOR_WHOLE,
        )
    if text is not None and not isinstance(text, str):
        raise choice.malformed("the completion is not text")
    return Completion(
        text=text or "",
        finish_reason=choice.find_text("finish_reason"),
        first_token=read_first_token(choice.get_object("logprobs")),
    )


def split_tokens(total: int | None, texts: Sequence[str]) -> list[int | None]:
    """Split `total` by the lengths of the texts, into whole numbers that add up to it."""
    if total is None:
        return [None] * len(texts)
    weights = [len(text.encode("utf-8", "replace")) + 1 for text in texts]
    parts: list[int | None] = []
    weight_so_far, assigned = 0, 0
    for weight in weights:
        weight_so_far += weight
        upto = total * weight_so_far // sum(weights)
        parts.append(upto - assigned)
        assigned = upto
    return parts


def read_first_token(logprobs: JsonObject) -> dict[str, float]:
    """The candidates for the first token, with their log probabilities.

    Completions and chats use different formats; values that are not numbers are left out.
    """
    contents = logprobs.values.get("content")
    if isinstance(contents, list):
        first = contents[0] if contents else None
        if not isinstance(first, dict):
            return {}
        tops = first.get("top_logprobs")
        entries = [first, *(tops if isinstance(tops, list) else ())]
        pairs = [
            (entry.get("token"), entry.get("logprob"))
            for entry in entries
            if isinstance(entry, dict)
        ]
    else:
        pairs = [
            (_get_first(logprobs, "tokens"), _get_first(logprobs, "token_logprobs")),
        ]
        top = _get_first(logprobs, "top_logprobs")
        pairs += list(top.items()) if isinstance(top, dict) else []
    return {
        token: float(value)
        for token, value in pairs
        if isinstance(token, str)
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }


def _get_first(fields: JsonObject, name: str) -> Json:
    values = fields.values.get(name)
    return values[0] if isinstance(values, list) and values else None


def _read_pieces(api: OpenAIClient, action: str, stream: openai.Stream[Any]) -> Iterator[str]:
    """The texts in a stream; InvalidResponse when its end is missing.

    The iterator of the SDK does not distinguish the last event from a lost connection, so the
    events are read here: a response is complete once an event has a finish_reason, or `[DONE]` has
    arrived.
    """
    with stream:
        content_type = stream.response.headers.get("content-type", "")
        content = api.read_stream(action, stream.response.iter_bytes())
        if "html" in content_type or "json" in content_type:
            with contextlib.suppress(InvalidResponse):
                api.parse_body(api.redact(b"".join(content)), action)
            raise InvalidResponse(f"{action}: the response is {content_type}, not an event stream")
        is_complete = has_choices = False
        for data in read_event_data(content):
            if data.strip().startswith(_DONE):
                if not has_choices:
                    raise InvalidResponse(
                        f"{action}: the stream holds no completion", hint=_RUN_AGAIN
                    )
                return
            if not data.strip():  # keeps the connection alive
                continue
            event = api.parse_body(api.redact(data), action)
            choices = event.values.get("choices")
            if isinstance(choices, list) and choices and isinstance(choices[0], dict):
                choice = JsonObject(choices[0], action)
                has_choices = True
                yield _read_piece(choice)
                _check_finish_reason(choice)
                is_complete = is_complete or choice.find_text("finish_reason") is not None
    if not is_complete:
        raise InvalidResponse(
            f"{action}: the response was cut off: the stream ended without a finish_reason and"
            " without [DONE]",
            hint=_RUN_AGAIN_FOR_WHOLE,
        )


def _read_piece(choice: JsonObject) -> str:
    delta = choice.get_object("delta").values
    # A refusal is in a separate field.
    text = choice.values.get("text") or delta.get("content") or delta.get("refusal")
    if text is not None and not isinstance(text, str):
        raise InvalidResponse(f"{choice.action}: a piece of the completion is not text")
    return text or ""


def _check_finish_reason(choice: JsonObject) -> None:
    """Raise Unavailable when the server failed in the middle of the response."""
    reason = choice.find_text("finish_reason")
    if reason in _FAILED_REASONS:
        raise Unavailable(
            f"{choice.action}: the server ended the response with an error"
            f" (finish_reason {reason!r})",
            status=500,
        )
