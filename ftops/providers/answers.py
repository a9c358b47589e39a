"""Answers of models: whole ones for many prompts, or one piece by piece.

A text goes to the completions endpoint, several texts to one request; a list of messages goes to
the chat endpoint, a few requests at a time. Answers keep the order of their prompts.
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
from ftops.errors import BadAnswer, ProviderError, Unavailable
from ftops.http.client import make_timeout
from ftops.providers.calls import Caller
from ftops.providers.event_stream import read_data
from ftops.providers.failures import find_failure
from ftops.providers.parameters import (
    RefusedParameters,
    render_chat_sampling,
    render_text_sampling,
)
from ftops.providers.wire import Fields, read_object
from ftops.records import Completion, Json, Message, Prompt, Sampling

T = TypeVar("T")

TEXTS_IN_A_REQUEST = 64
CHATS_AT_A_TIME = 8
_DONE = b"[DONE]"
# What servers give as the finish_reason of an answer that they could not finish.
_BROKEN = frozenset(
    {"error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource"}
)
_ASK_AGAIN = "Give the same command again."
_ASK_FOR_WHOLE = "Only a part of the answer came; give the same command again to ask for the whole."
_TIMEOUT_S = 300.0  # a model may need minutes for a request full of prompts


def complete(
    caller: Caller,
    refused: RefusedParameters,
    model: str,
    prompts: Sequence[Prompt],
    sampling: Sampling,
) -> list[Completion]:
    """One answer a prompt, in the order of the prompts."""
    texts = {at: prompt for at, prompt in enumerate(prompts) if isinstance(prompt, str)}
    chats = {at: prompt for at, prompt in enumerate(prompts) if not isinstance(prompt, str)}
    answers: dict[int, Completion] = {}
    places = list(texts)
    for start in range(0, len(places), TEXTS_IN_A_REQUEST):
        batch = places[start : start + TEXTS_IN_A_REQUEST]
        found = _complete_texts(caller, refused, model, [texts[at] for at in batch], sampling)
        answers.update(zip(batch, found, strict=True))
    if chats:
        with ThreadPoolExecutor(min(CHATS_AT_A_TIME, len(chats)), "ftops-chat") as pool:
            waiting = {
                at: pool.submit(
                    copy_context().run, _complete_chat, caller, refused, model, chat, sampling
                )
                for at, chat in chats.items()
            }
            try:
                answers.update({at: future.result() for at, future in waiting.items()})
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [answers[at] for at in range(len(prompts))]


def stream(
    caller: Caller,
    refused: RefusedParameters,
    model: str,
    prompt: Prompt,
    sampling: Sampling,
) -> Iterator[str]:
    """One answer, piece by piece; it is asked for again only while nothing of it has come.

    BadAnswer, after the pieces, for an answer without an end.
    """
    doing = f"ask {model}"
    is_text = isinstance(prompt, str)

    def begin(client: openai.OpenAI, parameters: dict[str, Any]) -> Iterator[str]:
        options = parameters | {"stream": True, "timeout": make_timeout(_TIMEOUT_S)}
        opened: openai.Stream[Any]
        if isinstance(prompt, str):
            opened = client.completions.create(model=model, prompt=prompt, **options)
        else:
            messages = _render_messages(prompt)
            opened = client.chat.completions.create(model=model, messages=messages, **options)
        pieces = filter(None, _read_pieces(caller, doing, opened))
        return itertools.chain([next(pieces, "")], pieces)

    pieces, _ = refused.send(
        model,
        render_text_sampling(sampling) if is_text else render_chat_sampling(sampling),
        lambda parameters: caller.repeat(doing, lambda client: begin(client, parameters)),
        chat=not is_text,
    )
    # The first and the last piece often hold a role or a reason, and no text.
    yield from filter(None, _join_halves(pieces))


def _join_halves(pieces: Iterator[str]) -> Iterator[str]:
    """Some servers cut a character in two, as JSON can write the halves of a surrogate pair."""
    decoder = codecs.getincrementaldecoder("utf-16-le")(errors="replace")
    for piece in pieces:
        yield decoder.decode(piece.encode("utf-16-le", "surrogatepass"))
    yield decoder.decode(b"", final=True)


def _complete_texts(
    caller: Caller, refused: RefusedParameters, model: str, texts: list[str], sampling: Sampling
) -> list[Completion]:
    watch = _Watch(caller.clock)
    answer, changes = refused.send(
        model,
        render_text_sampling(sampling),
        lambda parameters: caller.fetch(
            f"ask {model}",
            lambda client: watch.time(
                lambda: client.completions.with_raw_response.create(
                    model=model, prompt=texts, timeout=make_timeout(_TIMEOUT_S), **parameters
                )
            ),
        ),
        chat=False,
    )
    choices = answer.get_objects("choices")
    if len(choices) != len(texts):
        raise answer.complaint(f"it holds {len(choices)} answers to {len(texts)} prompts")
    choices.sort(key=lambda choice: choice.find_int("index") or 0)  # stable: no index, no move
    found = [_read_completion(choice, choice.values.get("text")) for choice in choices]
    usage = answer.find_object("usage")
    prompt_tokens = share_tokens(usage.find_int("prompt_tokens"), texts)
    answer_tokens = share_tokens(usage.find_int("completion_tokens"), [one.text for one in found])
    return [
        replace(
            one,
            prompt_tokens=prompt_tokens[at],
            completion_tokens=answer_tokens[at],
            seconds=watch.seconds,
            shared=len(texts),
            refused_parameters=changes,
        )
        for at, one in enumerate(found)
    ]


def _complete_chat(
    caller: Caller,
    refused: RefusedParameters,
    model: str,
    messages: tuple[Message, ...],
    sampling: Sampling,
) -> Completion:
    watch = _Watch(caller.clock)
    answer, changes = refused.send(
        model,
        render_chat_sampling(sampling),
        lambda parameters: caller.fetch(
            f"ask {model}",
            lambda client: watch.time(
                lambda: client.chat.completions.with_raw_response.create(
                    model=model,
                    messages=_render_messages(messages),
                    timeout=make_timeout(_TIMEOUT_S),
                    **parameters,
                )
            ),
        ),
        chat=True,
    )
    choices = answer.get_objects("choices")
    if not choices:
        raise BadAnswer(f"{answer.doing}: the answer is empty: it has no choices", hint=_ASK_AGAIN)
    message = choices[0].find_object("message")
    usage = answer.find_object("usage")
    return replace(
        _read_completion(choices[0], message.values.get("content")),
        refusal=message.find_text("refusal"),
        prompt_tokens=usage.find_int("prompt_tokens"),
        completion_tokens=usage.find_int("completion_tokens"),
        seconds=watch.seconds,
        refused_parameters=changes,
    )


class _Watch:
    """Times the last attempt at a request."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds = 0.0

    def time(self, send: Callable[[], T]) -> T:
        began_s = self._clock.monotonic_s()
        try:
            return send()
        finally:
            self.seconds = self._clock.monotonic_s() - began_s


def _read_completion(choice: Fields, text: object) -> Completion:
    _check_not_broken(choice)
    # Some servers leave the field out; an answer that is not finished has null there.
    if choice.values.get("finish_reason", "") is None:
        raise BadAnswer(
            f"{choice.doing}: the answer was cut off: its finish_reason is null",
            hint=_ASK_FOR_WHOLE,
        )
    if text is not None and not isinstance(text, str):
        raise choice.complaint("the answer is not text")
    return Completion(
        text=text or "",
        finish_reason=choice.find_text("finish_reason"),
        first_token=read_first_token(choice.find_object("logprobs")),
    )


def share_tokens(total: int | None, texts: Sequence[str]) -> list[int | None]:
    """Whole parts of `total`, by the lengths of the texts, which add up to it."""
    if total is None:
        return [None] * len(texts)
    weights = [len(text.encode("utf-8", "replace")) + 1 for text in texts]
    parts: list[int | None] = []
    behind, given = 0, 0
    for weight in weights:
        behind += weight
        upto = total * behind // sum(weights)
        parts.append(upto - given)
        given = upto
    return parts


def read_first_token(logprobs: Fields) -> dict[str, float]:
    """What the first token may have been, with natural logarithms of its chances.

    Completions and chats write them differently; what is no number is left out.
    """
    contents = logprobs.values.get("content")
    if isinstance(contents, list):
        first = contents[0] if contents else None
        if not isinstance(first, dict):
            return {}
        tops = first.get("top_logprobs")
        entries = [first, *(tops if isinstance(tops, list) else ())]
        pairs = [(one.get("token"), one.get("logprob")) for one in entries if isinstance(one, dict)]
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


def _get_first(fields: Fields, name: str) -> Json:
    values = fields.values.get(name)
    return values[0] if isinstance(values, list) and values else None


def _read_pieces(caller: Caller, doing: str, opened: openai.Stream[Any]) -> Iterator[str]:
    """The texts in a stream; BadAnswer where its end is missing.

    The SDK's own iterator ends alike after the last event and where a connection was cut, so the
    events are read here: an answer is whole once an event has a finish_reason or `[DONE]` came.
    """
    with opened:
        kind = opened.response.headers.get("content-type", "")
        content = caller.pieces(doing, opened.response.iter_bytes())
        if "html" in kind or "json" in kind:
            raise _read_no_stream(caller.clear(b"".join(content)), doing, kind)
        is_whole = has_choices = False
        for data in read_data(content):
            if data.strip().startswith(_DONE):
                if not has_choices:
                    raise BadAnswer(f"{doing}: the stream holds no answer", hint=_ASK_AGAIN)
                return
            if not data.strip():  # keeps the connection alive
                continue
            event = read_object(caller.clear(data), doing)
            failure = find_failure(event.values, doing)
            if failure is not None:
                raise failure
            choices = event.values.get("choices")
            if isinstance(choices, list) and choices and isinstance(choices[0], dict):
                choice = Fields(choices[0], doing)
                has_choices = True
                yield _read_piece(choice)
                _check_not_broken(choice)
                is_whole = is_whole or choice.find_text("finish_reason") is not None
    if not is_whole:
        raise BadAnswer(
            f"{doing}: the answer was cut off: the stream ended without a finish_reason and without"
            " [DONE]",
            hint=_ASK_FOR_WHOLE,
        )


def _read_no_stream(content: bytes, doing: str, kind: str) -> ProviderError:
    """The error for an answer that is no stream of events: the one that it says, if it does."""
    with contextlib.suppress(BadAnswer):
        failure = find_failure(read_object(content, doing).values, doing)
        if failure is not None:
            return failure
    return BadAnswer(f"{doing}: the answer is no stream of events but {kind}")


def _read_piece(choice: Fields) -> str:
    delta = choice.find_object("delta").values
    # A model that declines says so in a field of its own.
    text = choice.values.get("text") or delta.get("content") or delta.get("refusal")
    if text is not None and not isinstance(text, str):
        raise BadAnswer(f"{choice.doing}: a piece of the answer is not text")
    return text or ""


def _check_not_broken(choice: Fields) -> None:
    """Unavailable where the server says that it failed in the middle of the answer."""
    reason = choice.find_text("finish_reason")
    if reason in _BROKEN:
        raise Unavailable(
            f"{choice.doing}: the server broke the answer off (finish_reason {reason!r})",
            status=500,
        )


def _render_messages(messages: tuple[Message, ...]) -> Any:
    return [{"role": message.role, "content": message.content} for message in messages]
