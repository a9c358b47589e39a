"""Completions of Gemini models by generateContent, one prompt in each request."""

from collections.abc import Mapping
from dataclasses import replace

import httpx2
import orjson

from ftops.errors import Rejected
from ftops.http.client import make_timeout
from ftops.http.response import JsonObject
from ftops.providers.vertex_client import GoogleApi, GoogleClient
from ftops.providers.vertex_rows import render_chat, render_prompt
from ftops.records import Completion, Json, Prompt, Sampling, ToolCall
from ftops.rows.messages import InvalidRow

_TIMEOUT_S = 300.0
_THINKING = "thinkingConfig"
_FINISH_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
}


class GeminiCompletions:
    """Requests completions without thinking, because a tuned model has learned to answer so.

    A model that refuses that thinks as it does by default.
    """

    def __init__(self, api: GoogleApi) -> None:
        self._api = api
        self._thinking: set[str] = set()  # the models that refuse

    def get_refused_parameters(self, model: str) -> Mapping[str, str | None]:
        """The parameters that the model has refused."""
        return {_THINKING: None} if model in self._thinking else {}

    def complete(self, url: str, model: str, prompt: Prompt, sampling: Sampling) -> Completion:
        """The completion of a prompt by the model at `url`."""
        try:
            content = (
                render_prompt(prompt) if isinstance(prompt, str) else render_chat(prompt.to_json())
            )
        except InvalidRow as error:
            raise Rejected(f"{model} cannot answer this chat: {error}; nothing was sent") from error
        body: dict[str, Json] = {**content, "generationConfig": render_sampling(sampling)}
        try:
            return self._request(url, model, body, thinks=model in self._thinking)
        except Rejected as error:
            if model in self._thinking or "thinking" not in error.message.lower():
                raise
        completion = self._request(url, model, body, thinks=True)
        self._thinking.add(model)
        return completion

    def _request(
        self, url: str, model: str, body: Mapping[str, Json], *, thinks: bool
    ) -> Completion:
        config = body["generationConfig"]
        assert isinstance(config, dict)
        if not thinks:
            config = {**config, _THINKING: {"thinkingBudget": 0}}
        took_s = 0.0

        def send(client: GoogleClient) -> httpx2.Response:
            nonlocal took_s
            started_s = self._api.clock.monotonic_s()
            sent = {**body, "generationConfig": config}
            try:
                return client.request(
                    "POST", f"{url}:generateContent", json=sent, timeout=make_timeout(_TIMEOUT_S)
                )
            finally:
                took_s = self._api.clock.monotonic_s() - started_s

        fields = self._api.fetch(f"request a completion from {model}", send)
        refused: Mapping[str, str | None] = {_THINKING: None} if thinks else {}
        return replace(read_completion(fields), seconds=took_s, refused_parameters=refused)


def read_completion(fields: JsonObject) -> Completion:
    """The first candidate of a generateContent response; a blocked prompt has none."""
    usage = fields.get_object("usageMetadata")
    prompt_tokens = usage.find_int("promptTokenCount")
    blocked = fields.get_object("promptFeedback").find_text("blockReason")
    if blocked is not None and "candidates" not in fields.values:
        refusal = f"the prompt was blocked: {blocked.lower()}"
        return Completion("", "content_filter", prompt_tokens, 0, refusal=refusal)
    candidates = fields.get_objects("candidates")
    if not candidates:
        raise fields.malformed("no candidates")
    content = candidates[0].get_object("content")
    parts = content.list_objects("parts")
    calls = tuple(_read_call(part) for part in parts if "functionCall" in part.values)
    texts = [
        part.find_text("text") or "" for part in parts if part.values.get("thought") is not True
    ]
    reason = candidates[0].find_text("finishReason")
    finish = _FINISH_REASONS.get(reason or "", reason and reason.lower())
    thinking = usage.find_int("thoughtsTokenCount") or 0
    completion_tokens = usage.find_int("candidatesTokenCount")
    return Completion(
        text="".join(texts),
        finish_reason="tool_calls" if calls and finish == "stop" else finish,
        prompt_tokens=prompt_tokens,
        # Thinking is billed like the text of the completion.
        completion_tokens=None if completion_tokens is None else completion_tokens + thinking,
        first_token=_read_first_token(candidates[0]),
        tool_calls=calls,
        system_fingerprint=fields.find_text("modelVersion"),
    )


def render_sampling(sampling: Sampling) -> dict[str, Json]:
    """The `generationConfig` of a request."""
    rendered: dict[str, Json] = {
        "maxOutputTokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
    }
    if sampling.stop:
        rendered["stopSequences"] = list(sampling.stop)
    if sampling.seed is not None:
        rendered["seed"] = sampling.seed
    if sampling.logprobs is not None:
        rendered |= {"responseLogprobs": True, "logprobs": sampling.logprobs}
    return rendered


def _read_call(part: JsonObject) -> ToolCall:
    call = part.get_object("functionCall")
    arguments = orjson.dumps(dict(call.get_object("args").values)).decode()
    return ToolCall(call.find_text("name") or "", arguments)


def _read_first_token(candidate: JsonObject) -> dict[str, float]:
    """The log probabilities of the candidates for the first token."""
    result = candidate.get_object("logprobsResult")
    tops = result.list_objects("topCandidates")
    listed = tops[0].list_objects("candidates") if tops else []
    return {
        token: float(value)
        for item in listed
        if (token := item.find_text("token")) is not None
        and isinstance(value := item.values.get("logProbability"), int | float)
        and not isinstance(value, bool)
    }
