"""Encodes training rows for a pre-trained model: token ids, and the weight of each in the loss.

Chats are rendered by the model's own chat template. An answer is what the chat with it has beyond
the chat before it with the generation prompt, so the header of the assistant's turn has no part in
the loss. It is trained up to its end token: white space that the template writes after that token
is never generated, and has no weight. Completions end with the tokenizer's end-of-sequence token.
Special tokens come from the template alone: in the text of a row, `<|im_end|>` is only text.

A row that cannot be encoded like that is refused by its number, and none is cut.
"""

import contextlib
import ctypes
import json
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import encode_marked_chat, mark_control_tokens

from ftops.engine.lora.tool_calls import read_call_format
from ftops.engine.trainer import Prompt, TrainingRequest
from ftops.engine.training_file import ChatRow, CompletionRow, PreferenceRow, TrainingRow, Turn
from ftops.errors import EngineError
from ftops.rows.messages import JsonObject

RENDER_LIMIT_S = 10.0  # of one chat; a template is code that may not end
_NAMED_ROWS = 5
_START, _, _END = mark_control_tokens("x", re.compile("x"))  # what the library marks a token with
_TEMPLATE_HINT = "Train on prompt and completion rows, or use a base model with another template."


class InvalidChat(Exception):
    """The chat template cannot render a chat, or not so that its answers can be trained on."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedDocument:
    """A text as tokens; `weights[n]` is the weight in the loss of predicting token n."""

    token_ids: NDArray[np.int64]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRow:
    """A row: one document, or the preferred answer and the other one with their prompt."""

    documents: tuple[EncodedDocument, ...]

    @property
    def n_tokens(self) -> int:
        return sum(map(len, self.documents))

    @property
    def longest(self) -> int:
        return max(map(len, self.documents))

    @property
    def n_predicted(self) -> int:
        """The tokens that have a weight in the loss."""
        return sum(int(np.count_nonzero(document.weights)) for document in self.documents)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a base model, with its chat template; EngineError when it is damaged."""
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library raises many kinds
        raise EngineError(
            f"{folder.name}: the tokenizer cannot be loaded: {error}",
            hint="Add the base model again: `ftops engine models add`.",
        ) from error


class RowEncoder:
    """Encodes rows and prompts for one tokenizer.

    `prompt_loss_weight` is the weight of all tokens that are no answer.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, prompt_loss_weight: float = 0.0
    ) -> None:
        self._tokenizer = tokenizer
        self._prompt_loss_weight = prompt_loss_weight
        self._special_ids = frozenset(
            number for number, token in tokenizer.added_tokens_decoder.items() if token.special
        )
        self._text_start = _get_text_start(tokenizer)
        names = sorted(map(tokenizer.convert_ids_to_tokens, self._special_ids), key=len)
        special = "|".join(map(re.escape, reversed(names))) or "(?!)"  # longest first; or nothing
        self._special_text = re.compile(special)
        self._marked_text = re.compile(f"{_START}(?:{special}){_END}")

    def encode_row(self, row: TrainingRow) -> EncodedRow:
        """Encode a row; InvalidChat when the chat template does not fit it."""
        match row:
            case CompletionRow():
                return EncodedRow((self._encode_completion(row),))
            case ChatRow():
                return EncodedRow((self._encode_chat(row.turns, row.tools),))
            case PreferenceRow():
                prompt = [replace(turn, trained=False) for turn in row.turns]
                answers = (
                    Turn("assistant", text, trained=True) for text in (row.preferred, row.other)
                )
                return EncodedRow(
                    tuple(self._encode_chat((*prompt, answer), row.tools) for answer in answers)
                )

    def encode_prompt(self, prompt: Prompt, answer_start: str = "") -> list[int]:
        """The tokens before an answer, with the generation prompt of a chat.

        They include `answer_start`. InvalidChat when the chat template does not fit the chat.
        """
        if isinstance(prompt, str):
            return [*self._text_start, *self._encode(self._mark(prompt) + answer_start)]
        text = self._render(prompt.turns, prompt.tools, with_generation_prompt=True)
        return self._encode(text + answer_start)

    def get_call_format(self) -> tuple[str, str]:
        """What the chat template writes before a tool call, and the key of the arguments there."""
        function: JsonObject = {"name": "f", "description": "", "parameters": {"type": "object"}}
        call: JsonObject = {
            "id": "000000000",  # of the length that templates of Mistral demand
            "type": "function",
            "function": {"name": "f", "arguments": "{}"},
        }
        turns = (Turn("user", "1"), Turn("assistant", "", trained=True, tool_calls=(call,)))
        try:
            answer = self._split_chat(turns, ({"type": "function", "function": function},))[1]
        except InvalidChat:
            answer = ""
        return read_call_format(answer, "f")

    def find_end_token(self) -> int | None:
        """The token that ends an assistant message; None when the template writes none."""
        try:
            chat = self._encode_chat((Turn("user", "1"), Turn("assistant", "2", trained=True)), ())
        except InvalidChat:
            return None
        return int(chat.token_ids[np.flatnonzero(chat.weights == 1)[-1]])

    def find_default_system_prompt(self) -> str | None:
        """The system prompt that the template adds to a chat without one; None if it adds none."""
        chat = (Turn("user", "1"),)
        try:
            text = self._render(chat, ())
            explicit = self._render((Turn("system", ""), *chat), ())
        except InvalidChat:
            return None
        start = _count_equal(text, explicit)
        end = _count_equal(text[start:][::-1], explicit[start:][::-1])
        return text[start : len(text) - end].strip() or None

    def decode_each(self, document: EncodedDocument) -> list[str]:
        """The text of each token; part of a character is a replacement character."""
        return [self._tokenizer.decode([token]) for token in document.token_ids.tolist()]

    def _encode_completion(self, row: CompletionRow) -> EncodedDocument:
        end = self._tokenizer.eos_token_id
        if end is None:
            raise InvalidChat("the tokenizer has no end-of-sequence token")
        prompt, answer = self._encode_pieces([self._mark(row.prompt), self._mark(row.completion)])
        return self._weigh([(self._text_start + prompt, False), ([*answer, end], True)])

    def _encode_chat(self, turns: Sequence[Turn], tools: Sequence[JsonObject]) -> EncodedDocument:
        pieces = self._split_chat(turns, tools)
        segments: list[tuple[list[int], bool]] = []
        for place, tokens in enumerate(self._encode_pieces(pieces)):
            if place % 2 == 0:
                segments.append((tokens, False))
                continue
            end = max(
                (n for n, token in enumerate(tokens) if token in self._special_ids), default=-1
            )
            if end < 0 or self._tokenizer.decode(tokens[end + 1 :]).strip():
                raise InvalidChat("the chat template does not end an answer with an end token")
            segments += [(tokens[: end + 1], True), (tokens[end + 1 :], False)]
        return self._weigh(segments)

    def _split_chat(self, turns: Sequence[Turn], tools: Sequence[JsonObject]) -> list[str]:
        """The rendered chat in pieces; every second one is an answer to train on."""
        text = self._render(turns, tools)
        if tools and text == self._render(turns, ()):
            raise InvalidChat("the chat template of the base model renders no tools")
        pieces, place = [], 0
        for n, turn in enumerate(turns, start=1):
            if not turn.trained:
                continue
            before = self._render(turns[: n - 1], tools, with_generation_prompt=True)
            after = text if n == len(turns) else self._render(turns[:n], tools)
            if not (text.startswith(after) and after.startswith(before) and place <= len(before)):
                raise InvalidChat(
                    f"messages[{n - 1}]: the chat template changes it when other messages follow or"
                    " precede, so it cannot be trained on; give it the weight 0"
                )
            pieces += [text[place : len(before)], text[len(before) : len(after)]]
            place = len(after)
        return [*pieces, text[place:]]

    def _render(
        self,
        turns: Sequence[Turn],
        tools: Sequence[JsonObject],
        *,
        with_generation_prompt: bool = False,
    ) -> str:
        if not self._tokenizer.chat_template:
            raise InvalidChat("the base model has no chat template")
        try:
            with _time_limit(RENDER_LIMIT_S):
                text: str = self._tokenizer.apply_chat_template(
                    [self._mark(_convert_turn(turn)) for turn in turns],
                    tools=self._mark(list(tools)) or None,
                    tokenize=False,
                    add_generation_prompt=with_generation_prompt,
                )
                return text
        except Exception as error:  # a template is code of others, with any error
            raise InvalidChat(f"the chat template cannot render it: {error}") from error

    def _encode_pieces(self, pieces: Sequence[str]) -> list[list[int]]:
        """The tokens of consecutive pieces of a text.

        They are those of the whole text, unless a token crosses two pieces: then each piece is
        encoded by itself, as a prompt is before its answer.
        """
        tokens, ends = self._encode("".join(pieces)), [0]
        for n in range(1, len(pieces) + 1):
            before = tokens if n == len(pieces) else self._encode("".join(pieces[:n]))
            if tokens[: len(before)] != before:
                return [self._encode(piece) for piece in pieces]
            ends.append(len(before))
        return [tokens[start:end] for start, end in pairwise(ends)]

    def _mark(self, value: Any) -> Any:
        """The text or JSON value with marks around special tokens, which `_encode` removes."""
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        found = self._special_text.search(text)
        return mark_control_tokens(value, self._special_text) if found else value

    def _encode(self, text: str) -> list[int]:
        """The tokens of a text, special ones included, but marked ones as plain text."""
        if not self._marked_text.search(text):
            return list(self._tokenizer.encode(text, add_special_tokens=False))
        try:
            return list(encode_marked_chat(self._tokenizer, text))
        except ValueError as error:
            raise InvalidChat(f"a special token in its text cannot be encoded: {error}") from error

    def _weigh(self, segments: Sequence[tuple[list[int], bool]]) -> EncodedDocument:
        """One document; the first token has no weight, as nothing predicts it."""
        tokens = np.array([token for part, _ in segments for token in part], dtype=np.int64)
        weights = np.concatenate(
            [
                np.full(len(part), 1.0 if is_trained else self._prompt_loss_weight, np.float32)
                for part, is_trained in segments
            ]
        )
        weights[:1] = 0
        return EncodedDocument(tokens, weights)


def make_encoder(tokenizer: PreTrainedTokenizerBase, request: TrainingRequest) -> RowEncoder:
    """The encoder of a job's rows; pairs have no loss on their prompts."""
    is_preference = any(isinstance(row, PreferenceRow) for row in request.training)
    weight = 0.0 if is_preference else request.prompt_loss_weight
    return RowEncoder(tokenizer, prompt_loss_weight=weight)


def encode_request(
    request: TrainingRequest, encoder: RowEncoder, max_length: int
) -> tuple[list[EncodedRow], list[EncodedRow]]:
    """Encode training and validation rows; EngineError that names rows that cannot be used."""
    training = encode_rows(request.training, encoder, "training")
    validation = encode_rows(request.validation, encoder, "validation")
    for encoded, kind in ((training, "training"), (validation, "validation")):
        _refuse_long_rows(encoded, max_length, kind)
    return training, validation


def encode_rows(
    rows: Sequence[TrainingRow], encoder: RowEncoder, kind: str = "training"
) -> list[EncodedRow]:
    """Encode the rows; EngineError that names the first one that cannot be encoded."""
    encoded = []
    for number, row in enumerate(rows, start=1):
        try:
            encoded.append(encoder.encode_row(row))
        except InvalidChat as problem:
            raise EngineError(f"{kind} row {number}: {problem}", hint=_TEMPLATE_HINT) from problem
    return encoded


def _refuse_long_rows(encoded: Sequence[EncodedRow], max_length: int, kind: str) -> None:
    too_long = [(n, row.longest) for n, row in enumerate(encoded, 1) if row.longest > max_length]
    if not too_long:
        return
    named = ", ".join(f"{number} ({tokens} tokens)" for number, tokens in too_long[:_NAMED_ROWS])
    more = f" and {len(too_long) - _NAMED_ROWS} more" if len(too_long) > _NAMED_ROWS else ""
    raise EngineError(
        f"{kind} rows with more than {max_length} tokens: {named}{more}",
        hint="Shorten or remove these rows, or raise lora.max_length up to the context length of"
        " the base model; no row is cut.",
    )


def _count_equal(text: str, other: str) -> int:
    """The number of characters at the start that are the same."""
    pairs = enumerate(zip(text, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(text), len(other)))


def _get_text_start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The token that the tokenizer puts before a text, if it does."""
    start = tokenizer.bos_token_id
    return [start] if start is not None and tokenizer.encode("a")[:1] == [start] else []


def _convert_turn(turn: Turn) -> dict[str, Any]:
    """The message as templates expect it: arguments of calls are objects, not JSON text."""
    role = "system" if turn.role == "developer" else turn.role
    message: dict[str, Any] = {"role": role, "content": turn.content}
    if turn.tool_calls:
        message["tool_calls"] = [_convert_call(call) for call in turn.tool_calls]
    if turn.tool_call_id:
        message["tool_call_id"] = turn.tool_call_id
    if turn.name:
        message["name"] = turn.name
    return message


def _convert_call(call: JsonObject) -> JsonObject:
    function = call["function"]
    arguments = function.get("arguments") if isinstance(function, dict) else None
    if isinstance(function, dict) and isinstance(arguments, str):
        with contextlib.suppress(ValueError):  # text that is no JSON stays text
            return {**call, "function": {**function, "arguments": json.loads(arguments)}}
    return call


class _TimeLimit(Exception):
    def __str__(self) -> str:
        return f"it does not end within {RENDER_LIMIT_S:g} seconds"


@contextlib.contextmanager
def _time_limit(limit_s: float) -> Iterator[None]:
    """Raise an exception in the block after `limit_s` seconds."""
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        with _limit_by_signal(limit_s):
            yield
    else:
        with _limit_by_thread(limit_s):
            yield


@contextlib.contextmanager
def _limit_by_signal(limit_s: float) -> Iterator[None]:
    """Only for the main thread; thousands of rows are rendered without starting a thread each."""

    def stop(*_: object) -> None:
        raise _TimeLimit

    handler = signal.signal(signal.SIGALRM, stop)
    left_s, interval_s = signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left_s, interval_s)
        signal.signal(signal.SIGALRM, handler)


@contextlib.contextmanager
def _limit_by_thread(limit_s: float) -> Iterator[None]:
    """For any thread: another one raises the exception in it."""
    thread, lock, is_over = ctypes.c_ulong(threading.get_ident()), threading.Lock(), False
    raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def stop() -> None:
        with lock:
            if not is_over:
                raise_in_thread(thread, ctypes.py_object(_TimeLimit))

    timer = threading.Timer(limit_s, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            is_over = True
            raise_in_thread(thread, None)  # the block ended just before the exception was raised
        timer.cancel()
