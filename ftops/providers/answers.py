"""Answers of models: whole ones for many prompts, or one piece by piece.

A text goes to the completions endpoint, several texts to one request; a list of messages goes to
the chat endpoint, a few requests at a time. Answers keep the order of their prompts.
"""

import codecs
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

import openai

from ftops.errors import BadAnswer
from ftops.providers.calls import Caller
from ftops.providers.endpoint import make_timeout
from ftops.providers.wire import Fields
from ftops.records import Completion, Message, Prompt, Sampling

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
    answer = caller.fetch(
        f"ask {model}",
        lambda client: client.completions.with_raw_response.create(
            model=model, prompt=texts, **_render_sampling(sampling)
        ),
    )
    choices = answer.get_objects("choices")
    if len(choices) != len(texts):
        raise answer.complaint(f"it holds {len(choices)} answers to {len(texts)} prompts")
    choices.sort(key=lambda choice: choice.find_int("index") or 0)  # stable: no index, no move
    usage = answer.find_object("usage") if len(texts) == 1 else None
    return [_read_completion(choice, choice.values.get("text"), usage) for choice in choices]


def _complete_chat(
    caller: Caller, model: str, messages: tuple[Message, ...], sampling: Sampling
) -> Completion:
    answer = caller.fetch(
        f"ask {model}",
        lambda client: client.chat.completions.with_raw_response.create(
            model=model, messages=_render_messages(messages), **_render_sampling(sampling)
        ),
    )
    choices = answer.get_objects("choices")
    if not choices:
        raise answer.complaint("it holds no answer")
    content = choices[0].find_object("message").values.get("content")
    return _read_completion(choices[0], content, answer.find_object("usage"))


def _read_completion(choice: Fields, text: object, usage: Fields | None) -> Completion:
    if text is not None and not isinstance(text, str):
        raise choice.complaint("the answer is not text")
    return Completion(
        text=text or "",
        finish_reason=choice.find_text("finish_reason"),
        prompt_tokens=usage.find_int("prompt_tokens") if usage else None,
        completion_tokens=usage.find_int("completion_tokens") if usage else None,
    )


def _stream_text(
    caller: Caller, doing: str, model: str, prompt: str, sampling: Sampling
) -> Iterator[str]:
    opened = caller.repeat(
        doing,
        lambda client: client.completions.create(
            model=model, prompt=prompt, stream=True, **_render_sampling(sampling)
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
            **_render_sampling(sampling),
        ),
    )
    for choice in _read_choices(caller, doing, opened):
        yield _read_piece(doing, getattr(getattr(choice, "delta", None), "content", None))


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


def _render_messages(messages: tuple[Message, ...]) -> Any:
    return [{"role": message.role, "content": message.content} for message in messages]
