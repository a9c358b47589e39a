"""The kinds of personal data and secrets, and a match in a text."""

from dataclasses import dataclass
from enum import StrEnum


class PiiKind(StrEnum):
    """A kind of personal data or secret; the value replaces it in redacted text."""

    PRIVATE_KEY = "[PRIVATE_KEY]"
    WEB_TOKEN = "[WEB_TOKEN]"
    API_KEY = "[API_KEY]"
    PASSWORD = "[PASSWORD]"
    EMAIL = "[EMAIL]"
    CARD = "[CARD]"
    BANK_ACCOUNT = "[BANK_ACCOUNT]"
    NATIONAL_NUMBER = "[NATIONAL_NUMBER]"
    PHONE = "[PHONE]"


@dataclass(frozen=True, slots=True, order=True)
class PiiMatch:
    """Characters `start` to `end` of a text with their kind; `of` is the issuer or country."""

    start: int
    end: int
    kind: PiiKind
    of: str
