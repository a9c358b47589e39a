"""Which errors are about one question alone, and which about everything that is asked."""

from ftops.errors import BadAnswer, ProviderError, Rejected, Unavailable

# What OpenAI and Azure call a question that their policies forbid, ...
_POLICY_CODES = frozenset({"content_filter", "content_policy_violation", "invalid_prompt"})
# ... and they and the engine one that cannot be answered as it is.
_ROW_CODES = _POLICY_CODES | {"context_length_exceeded", "string_above_max_length"}
_ROW_PARAMS = ("prompt", "messages", "input")
_BROKEN = 500  # the status of a server that fails at what it was asked; 502 to 504: it is not there


def is_row_error(error: ProviderError) -> bool:
    """Whether the provider says that it cannot answer this very question, now or later."""
    if not isinstance(error, Rejected):
        return False
    return error.code in _ROW_CODES or (error.param or "").startswith(_ROW_PARAMS)


def is_declined(error: ProviderError) -> bool:
    """Whether the question is refused for what it says."""
    return error.code in _POLICY_CODES


def may_be_row_error(error: ProviderError) -> bool:
    """Whether other questions may well be answered, though this one was not."""
    if isinstance(error, Unavailable):
        return error.status == _BROKEN
    if isinstance(error, Rejected):
        return not (error.param or "").startswith("model")
    return isinstance(error, BadAnswer)
