"""The parameters of a completion request, without those that the model refuses.

Models and servers take different parameters: some refuse `temperature`, some call the length of a
completion `max_completion_tokens`. A list of models would soon be out of date, so the error is
parsed: the parameter that it names is left out or renamed, and the request is sent again.
"""

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ftops.errors import PermissionRefused, ProviderError, Rejected
from ftops.records import Sampling

T = TypeVar("T")

_LENGTH, _CHAT_LENGTH = "max_tokens", "max_completion_tokens"
# Without `max_tokens` a completion may cost any amount: it is renamed, never left out.
_OPTIONAL = ("top_p", "temperature", "stop", "seed", "top_logprobs", "logprobs")
_DEFAULTS = {"top_p": 1, "temperature": 1}  # of the API: leaving such a value out changes nothing
_ORDINARY_WORDS = ("stop", "seed")  # count only if the message marks them as names
_REFUSED_CODES = ("unsupported_parameter", "unsupported_value", "unknown_parameter")
_REFUSED_WORDS = re.compile(
    r"(not|n't|no longer|cannot)\b.{0,20}\b(support|allow|permit|accept|recogni|specif|both\b)"
    r"|\bun(supported|recogni[sz]ed|known|expected)\b|\bextra inputs\b|\bdeprecated\b"
    r"|\bonly the default\b|\bcannot find\b|\bmust be (strictly positive|greater than 0|> ?0)",
    re.IGNORECASE | re.DOTALL,
)


class RefusedParameters:
    """The parameters that models of one provider account have refused in this process.

    Each maps to the name under which it is sent instead, or None if it is left out. Thread-safe.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, bool], dict[str, str | None]] = {}
        self._lock = threading.Lock()

    def get(self, model: str) -> dict[str, str | None]:
        """The parameters that the model has refused so far."""
        with self._lock:
            return self._known.get((model, False), {}) | self._known.get((model, True), {})

    def send(
        self,
        model: str,
        parameters: Mapping[str, Any],
        send: Callable[[dict[str, Any]], T],
        *,
        chat: bool,
    ) -> tuple[T, dict[str, str | None]]:
        """Call `send` with the parameters that the model takes; returns its result and the changes.

        Each refusal removes or renames a parameter, so there are few attempts; the refusals are
        recorded once the request succeeds. Raises Rejected or PermissionRefused when a refusal has
        another reason.
        """
        key = (model, chat)
        refused_now: dict[str, str | None] = {}
        while True:
            with self._lock:
                known = self._known.get(key, {}) | refused_now
            changes = {name: known[name] for name in parameters if name in known}
            names = {name: changes.get(name, name) for name in parameters}
            sent = {new: parameters[name] for name, new in names.items() if new is not None}
            try:
                response = send(sent)
            except (Rejected, PermissionRefused) as error:
                refused = _read_refusal(error, sent, chat=chat)
                if not refused:
                    raise
                refused_now |= refused
                continue
            if refused_now:
                with self._lock:
                    self._known.setdefault(key, {}).update(refused_now)
            return response, changes


def _read_refusal(
    error: ProviderError, sent: Mapping[str, Any], *, chat: bool
) -> dict[str, str | None]:
    """The parameter that the refusal names, with its new name or None; empty if it names none."""
    message = error.message.partition(": ")[2]  # the first part names the action and the model
    param = re.split(r"[.\[]", error.param or "")[0]
    if param.startswith(("messages", "prompt", "input", "model")):
        return {}
    changeable = [name for name in (_LENGTH, *_OPTIONAL) if name in sent]
    named = [name for name in changeable if name == param or _is_named(name, message)]
    if param in changeable:
        named = [param]
    # If two parameters exclude each other, the parameter with the default value is left out.
    defaults = [name for name in named if sent[name] == _DEFAULTS.get(name)]
    if not defaults and error.code not in _REFUSED_CODES and not _REFUSED_WORDS.search(message):
        return {}
    for name in (*defaults, *named):
        if name == "logprobs":
            return {"logprobs": None, "top_logprobs": None}
        if name != _LENGTH:
            return {name: None}
        if chat:
            return {_LENGTH: _CHAT_LENGTH}
    return {}


def _is_named(name: str, message: str) -> bool:
    before = r"(?:['\"`.\[]|: |\bparameters? )" if name in _ORDINARY_WORDS else r"\b"
    return re.search(rf"{before}{name}\b", message, re.IGNORECASE) is not None


def render_text_sampling(sampling: Sampling) -> dict[str, Any]:
    """The parameters of a request to the completions endpoint."""
    logprobs = {} if sampling.logprobs is None else {"logprobs": sampling.logprobs}
    return _render_sampling(sampling) | logprobs


def render_chat_sampling(sampling: Sampling) -> dict[str, Any]:
    """The parameters of a request to the chat endpoint."""
    rendered = _render_sampling(sampling)
    if sampling.logprobs is not None:
        rendered |= {"logprobs": True, "top_logprobs": sampling.logprobs}
    return rendered


def _render_sampling(sampling: Sampling) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        _LENGTH: sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }
    if sampling.stop:
        rendered["stop"] = list(sampling.stop)
    if sampling.seed is not None:
        rendered["seed"] = sampling.seed
    if sampling.precision is not None:
        rendered["extra_body"] = {"precision": sampling.precision}
    return rendered
