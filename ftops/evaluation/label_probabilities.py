"""Which chance each label has, by what a model tells of the first token of its answers.

That is the chance of a label only where the label is one token. Where a label is several, or begins
with the token that another one is, its chance is not known: then none is given to any label.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ftops.evaluation.ways import Way
from ftops.text import to_nfc

# A beginning that is never as likely as this says of no label that it has several tokens.
_LIKELY = 0.01
_REMEDY = "labels of one token are measured (`ftops data prepare FILE --only encode-labels`)"


@dataclass(frozen=True, slots=True)
class Chances:
    """The chance of each label, by answer; or why no label has any."""

    by_answer: Sequence[Mapping[str, float]]
    trouble: str = ""


def read_chances(
    told: Sequence[Mapping[str, float]], way: Way, expected: Iterable[str], name: str
) -> Chances:
    """The chances of the labels that are `expected`, from those of first tokens, by answer."""
    labels = {label for label in expected if label}  # in NFC, as `Way.read` gives them
    sayings = {label: label for label in labels}
    sayings |= {
        to_nfc(said.strip()): to_nfc(label)
        for said, label in way.labels.items()
        if to_nfc(label) in labels
    }
    likeliest: dict[str, float] = {}
    for tokens in told:
        for token, chance in tokens.items():
            begun = to_nfc(token.strip())
            likeliest[begun] = max(chance, likeliest.get(begun, 0.0))
    whole = {sayings[begun] for begun in likeliest if begun in sayings}
    beginnings = sorted(begun for begun, chance in likeliest.items() if chance >= _LIKELY)
    for said, label in sorted(sayings.items()):
        if label in whole:
            continue
        for begun in beginnings:
            if said.startswith(begun):
                why = _say_why(label, begun, sayings)
                return Chances([{}] * len(told), f"{name}: chances are not known: {why}; {_REMEDY}")
    return Chances([_add_up(tokens, sayings) for tokens in told])


def _say_why(label: str, begun: str, sayings: Mapping[str, str]) -> str:
    if begun in sayings:
        return f"{label!r} begins with the token that is {sayings[begun]!r}"
    sharing = sorted({other for said, other in sayings.items() if said.startswith(begun)} - {label})
    if begun and sharing:
        return f"{label!r} and {sharing[0]!r} begin with the same token, {begun!r}"
    return f"{label!r} is several tokens, of which only the first is told"


def _add_up(tokens: Mapping[str, float], sayings: Mapping[str, str]) -> dict[str, float]:
    named: dict[str, float] = {}
    for token, chance in tokens.items():
        label = sayings.get(to_nfc(token.strip()))
        if label is not None:
            named[label] = min(1.0, named.get(label, 0.0) + chance)
    return named
