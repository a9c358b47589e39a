"""What private data and secrets there are, and where one was found."""

from dataclasses import dataclass
from enum import StrEnum


class PiiKind(StrEnum):
    """What a text may hold; the value is what `redact` puts in its place."""

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
    """Characters `start` to `end` of a text, and what they are; `of` says whose or which."""

    start: int
    end: int
    kind: PiiKind
    of: str
