"""What training costs, in US dollars for a million trained tokens.

Source: OpenAI's price list and deprecation table as they stood on 2026-11-22. Trained tokens are
the tokens of the training file times the epochs; validation tokens are not charged. A model that
is not listed has no known price: ftops then says so rather than guess.
"""

import re

PRICES_AS_OF = "2026-11-22"

_DATE = r"(-\d{4}-\d{2}-\d{2})?"
_TRAIN_USD: tuple[tuple[str, float], ...] = (
    (r"gpt-4\.1" + _DATE, 25.00),
    (r"gpt-4\.1-mini" + _DATE, 5.00),
    (r"gpt-4\.1-nano" + _DATE, 1.50),
    (r"gpt-4o-2024-08-06", 25.00),
    (r"gpt-4o-mini" + _DATE, 3.00),
    (r"gpt-3\.5-turbo(-\d{4})?", 8.00),
    (r"davinci-002", 6.00),
    (r"babbage-002", 0.40),
)


def find_train_price_usd(base: str) -> float | None:
    """OpenAI's price for training the base model `base`; None when it is not known."""
    for pattern, usd in _TRAIN_USD:
        if re.fullmatch(pattern, base):
            return usd
    return None
