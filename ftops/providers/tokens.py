"""What is known of base models' tokens: which vocabulary a model reads by, how long a row may be.

Sources: the table of models in tiktoken 0.14; OpenAI's fine-tuning guide for the tokens of a
training example (longer ones are cut at the end), and its former one for the models of 2020.
"""

import re
from collections.abc import Sequence

ENGINE_VOCABULARY = "engine"  # made for each job, out of its own rows

_VOCABULARIES: Sequence[tuple[str, str]] = (
    (r"(chatgpt-4o|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|o1|o3|o4-mini)(-.*)?", "o200k_base"),
    (r"(gpt-4|gpt-3\.5-turbo|gpt-35-turbo)(-.*)?", "cl100k_base"),
    (r"davinci-002|babbage-002", "cl100k_base"),
    (r"ada|babbage|curie|davinci|text-(ada|babbage|curie|davinci)-001", "r50k_base"),
    (r"text-davinci-00[23]", "p50k_base"),
)
_ROW_LIMITS: Sequence[tuple[str, int]] = (
    (r"gpt-4o-mini(-.*)?|gpt-4o-2024-08-06|gpt-4\.1(-.*)?", 65_536),
    (r"gpt-3\.5-turbo(-.*)?", 16_385),
    (r"ada|babbage|curie|davinci", 2_048),
)
_LOCAL_ROW_LIMIT = 1_024


def find_vocabulary_name(provider: str, base: str) -> str:
    """The vocabulary by which the base model reads; "" when it is not known."""
    if provider == "local":
        return ENGINE_VOCABULARY
    return next((name for known, name in _VOCABULARIES if re.fullmatch(known, base)), "")


def find_row_limit(provider: str, base: str) -> int | None:
    """The tokens that one training row may have; None when that is not known."""
    if provider == "local":
        return _LOCAL_ROW_LIMIT
    return next((limit for known, limit in _ROW_LIMITS if re.fullmatch(known, base)), None)
