"""Answers of models: whole ones for many prompts, or one piece by piece.

A text goes to the completions endpoint, several texts to one request; a list of messages goes to
the chat endpoint, a few requests at a time. Answers keep the order of their prompts.
"""

import codecs
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import Any, TypeVar

import openai

from ftops.clock import Clock
from ftops.errors import BadAnswer
from ftops.providers.calls import Caller
from ftops.providers.endpoint import make_timeout
from ftops.providers.wire import Fields
from ftops.records import Completion, Json, Message, Prompt, Sampling

T = TypeVar("T")

TEXTS_IN_A_REQUEST = 32
CHATS_AT_A_TIME = 8
_TIMEOUT_S = 300.0  # a model may need minutes for a request full of prompts


def complete(
    caller: Caller, model: str, prompts: Sequence[Prompt], sampling: Sampling
) -> list[Completion]:
    """One answer a prompt, in the order of the prompts."""
    texts = {at: prompt for at, prompt in enumerate(prompts) if isinstance(prompt, str)}
    chats = {at: prompt for at, prompt in enumerate(prompts) if not isinstance(prompt, str)}
    answers: dict[int, Completion] = {}
    places = list(texts)
    for start in range(0, len(places), TEXTS_IN_A_REQUEST):
        batch = places[start : start + TEXTS_IN_A_REQUEST]
        found = _complete_texts(caller, model, [texts[at] for at in batch], sampling)
        answers.update(zip(batch, found, strict=True))
    if chats:
        with ThreadPoolExecutor(min(CHATS_AT_A_TIME, len(chats)), "ftops-chat") as pool:
            waiting = {
                at: pool.submit(copy_context().run, _complete_chat, caller, model, chat, sampling)
                for at, chat in chats.items()
            }
            try:
                answers.update({at: future.result() for at, future in waiting.items()})
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [answers[at] for at in range(len(prompts))]


def stream(caller: Caller, model: str, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
    """One answer, piece by piece; only its beginning is repeated when something fails."""
    doing = f"ask {model}"
    if isinstance(prompt, str):
        pieces = _stream_text(caller, doing, model, prompt, sampling)
    else:
        pieces = _stream_chat(caller, doing, model, prompt, sampling)
    # The first and the last piece often hold a role or a reason, and no text.
    yield from filter(None, _join_halves(pieces))


def _join_halves(pieces: Iterator[str]) -> Iterator[str]:
    """Some servers cut a character in two, as JSON can write the halves of a surrogate pair."""
    decoder = codecs.getincrementaldecoder("utf-16-le")(errors="replace")
    for piece in pieces:
        yield decoder.decode(piece.encode("utf-16-le", "surrogatepass"))
    yield decoder.decode(b"", final=True)


def _complete_texts(
    caller: Caller, model: str, texts: list[str], sampling: Sampling
) -> list[Completion]:
    watch = _Watch(caller.clock)
    answer = caller.fetch(
        f"ask {model}",
        lambda client: watch.time(
            lambda: client.completions.with_raw_response.create(
                model=model, prompt=texts, **_render_text_sampling(sampling)
            )
        ),
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
        )
        for at, one in enumerate(found)
    ]


def _complete_chat(
    caller: Caller, model: str, messages: tuple[Message, ...], sampling: Sampling
) -> Completion:
    watch = _Watch(caller.clock)
    answer = caller.fetch(
        f"ask {model}",
        lambda client: watch.time(
            lambda: client.chat.completions.with_raw_response.create(
                model=model, messages=_render_messages(messages), **_render_chat_sampling(sampling)
            )
        ),
    )
    choices = answer.get_objects("choices")
    if not choices:
        raise answer.complaint("it holds no answer")
    message = choices[0].find_object("message")
    usage = answer.find_object("usage")
    return replace(
        _read_completion(choices[0], message.values.get("content")),
        refusal=message.find_text("refusal"),
        prompt_tokens=usage.find_int("prompt_tokens"),
        completion_tokens=usage.find_int("completion_tokens"),
        seconds=watch.seconds,
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


def _stream_text(
    caller: Caller, doing: str, model: str, prompt: str, sampling: Sampling
) -> Iterator[str]:
    opened = caller.repeat(
        doing,
        lambda client: client.completions.create(
            model=model, prompt=prompt, stream=True, **_render_text_sampling(sampling)
        ),
    )
    for choice in _read_choices(caller, doing, opened):
        yield _read_piece(doing, getattr(choice, "text", None))


def _stream_chat(
    caller: Caller, doing: str, model: str, messages: tuple[Message, ...], sampling: Sampling
) -> Iterator[str]:
    opened = caller.repeat(
        doing,
        lambda client: client.chat.completions.create(
            model=model,
            messages=_render_messages(messages),
            stream=True,
            **_render_chat_sampling(sampling),
        ),
    )
    for choice in _read_choices(caller, doing, opened):
        delta = getattr(choice, "delta", None)
        # A model that declines says so in a field of its own.
        content = getattr(delta, "content", None) or getattr(delta, "refusal", None)
        yield _read_piece(doing, content)


def _read_piece(doing: str, text: object) -> str:
    if text is not None and not isinstance(text, str):
        raise BadAnswer(f"{doing}: a piece of the answer is not text")
    return text or ""


def _read_choices(caller: Caller, doing: str, opened: openai.Stream[Any]) -> Iterator[object]:
    """The first choice of every piece that has one."""
    with opened:
        kind = opened.response.headers.get("content-type", "")
        if "html" in kind or "json" in kind:
            raise BadAnswer(f"{doing}: the answer is no stream of events but {kind}")
        for piece in caller.pieces(doing, opened):
            choices = getattr(piece, "choices", None)
            if isinstance(choices, list) and choices:
                yield choices[0]


def _render_sampling(sampling: Sampling) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "timeout": make_timeout(_TIMEOUT_S),
    }
    if sampling.stop:
        rendered["stop"] = list(sampling.stop)
    if sampling.seed is not None:
        rendered["seed"] = sampling.seed
    return rendered


def _render_text_sampling(sampling: Sampling) -> dict[str, Any]:
    asked = {} if sampling.logprobs is None else {"logprobs": sampling.logprobs}
    return _render_sampling(sampling) | asked


def _render_chat_sampling(sampling: Sampling) -> dict[str, Any]:
    if sampling.logprobs is None:
        return _render_sampling(sampling)
    return _render_sampling(sampling) | {"logprobs": True, "top_logprobs": sampling.logprobs}


def _render_messages(messages: tuple[Message, ...]) -> Any:
    return [{"role": message.role, "content": message.content} for message in messages]
