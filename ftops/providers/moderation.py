"""Texts that a provider judges: whether they are harmful, and in what way.

https://platform.openai.com/docs/api-reference/moderations
"""

from collections.abc import Sequence

from ftops.providers.calls import Caller
from ftops.providers.wire import Fields

MODEL = "omni-moderation-latest"
UNNAMED = "unnamed"  # the category of a text that is flagged without one


def moderate(caller: Caller, texts: Sequence[str]) -> list[tuple[str, ...]]:
    """The categories in which each text is flagged, from one request for all of them.

    BadAnswer when there are not as many verdicts as texts. A verdict changes nothing at the
    provider, so the request may be repeated.
    """
    answer = caller.fetch(
        f"judge {len(texts)} texts",
        lambda client: client.moderations.with_raw_response.create(model=MODEL, input=[*texts]),
    )
    results = answer.get_objects("results")
    if len(results) != len(texts):
        raise answer.complaint(f"it has {len(results)} verdicts on {len(texts)} texts")
    return [_read_categories(result) for result in results]


def _read_categories(result: Fields) -> tuple[str, ...]:
    flagged = result.values.get("flagged")
    if not isinstance(flagged, bool):
        raise result.complaint("a verdict does not say whether the text was flagged")
    if not flagged:
        return ()
    categories = result.find_object("categories").values
    return tuple(sorted(name for name, holds in categories.items() if holds is True)) or (UNNAMED,)
