"""By which vocabulary a model reads. Source: the table of models in tiktoken 0.14."""

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


def find_vocabulary_name(provider: str, base: str) -> str:
    """The vocabulary by which the base model reads; "" when it is not known."""
    if provider == "local":
        return ENGINE_VOCABULARY
    return next((name for known, name in _VOCABULARIES if re.fullmatch(known, base)), "")
