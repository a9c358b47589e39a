"""The objects that completions and chat completions are answered with.

They describe the answers in `/openapi.json`. The answers themselves are written by hand
(`completions.py`, `chat.py`): thousands of pieces a second need no second look.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

FinishReason = Literal["stop", "length"]


class Answered(BaseModel):
    """What a model's answer is made of."""

    model_config = ConfigDict(extra="forbid")


class Usage(Answered):
    """How many tokens were read and drawn."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionLogprobs(Answered):
    """The tokens of a text; nulls stand for an echoed prompt, which was not drawn."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(Answered):
    """One answer."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason


class Completion(Answered):
    """All answers to a text, or to several."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage


class ChatToken(Answered):
    """A token, its natural log probability, and its bytes in UTF-8."""

    token: str
    logprob: float
    bytes: list[int]


class ChatTokenLogprob(ChatToken):
    """A drawn token and the likeliest ones in its place."""

    top_logprobs: list[ChatToken]


class ChatLogprobs(Answered):
    """The tokens of a message."""

    content: list[ChatTokenLogprob]
    refusal: None


class AnswerMessage(Answered):
    """What the assistant says."""

    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(Answered):
    """One answer."""

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(Answered):
    """All answers to a chat."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
