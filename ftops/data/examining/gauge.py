"""What rows are measured by, where it is known who is to be trained with them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gauge:
    """The model reads by `vocabulary` and at most `limit` tokens a row; vocabularies may lie in
    `folders`. "" and None are for what is not known.
    """

    limit: int | None = None
    vocabulary: str = ""
    folders: tuple[str, ...] = ()


UNKNOWN = Gauge()
