"""How many tokens a file has, about: no vocabulary is at hand, so bytes and characters decide."""

from dataclasses import dataclass

from ftops.dataset.summary import DataSummary

_BYTES_A_TOKEN = 4.0  # Latin script
_CHARACTERS_A_TOKEN = 1.5  # Chinese, Japanese, Korean
_TOKENS_A_MESSAGE = 3
_TOKENS_A_CHAT = 3


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """Tokens of one pass over a file (one epoch); `error` is the share it may be off by."""

    tokens: int
    method: str
    error: float


def estimate_tokens(summary: DataSummary) -> TokenEstimate:
    """Estimate the tokens of the file that `summary` is of, counted once.

    UTF-8 spends one byte on an ASCII character and three on a CJK one, so bytes and characters
    together tell how much of the text is which; other scripts lie between, as their tokens do.
    """
    extra = summary.text_bytes - summary.characters
    dense = min(extra / 2, summary.characters)  # characters of scripts with few to a token
    latin = summary.characters - dense
    tokens = latin / _BYTES_A_TOKEN + dense / _CHARACTERS_A_TOKEN
    if summary.messages:
        tokens += _TOKENS_A_MESSAGE * summary.messages + _TOKENS_A_CHAT * summary.rows
    share = dense / summary.characters if summary.characters else 0.0
    return TokenEstimate(
        tokens=max(summary.rows, round(tokens)),
        method="4 bytes a token for Latin script, 1.5 characters for Chinese, Japanese and Korean",
        error=round(0.2 + 0.2 * share, 2),
    )
