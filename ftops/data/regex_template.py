"""A baseline for JSON answers: a template whose fields are filled in by regular expressions.

The template is the most frequent set of fields of the training answers. For each field, training
rows whose prompt contains the field's value give candidate expressions: the one or two words before
the value, then as many words as the value has, and optionally the word after it. Each candidate is
searched for in the prompts of at most MOST_ROWS training rows. A candidate whose first match is the
right value in at least two rows, and in at least half of the rows where it matches, becomes a rule.
The rule with the most right rows is tried first. If no rule matches a prompt, the field gets its
most frequent value. Fields of nested objects count one by one; lists are only constants.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ftops.records import Json

MOST_ROWS = 300
_MOST_CANDIDATES = 100  # of one field, the most frequent first
_MOST_RULES = 20
_MIN_RIGHT = 2
_MIN_PRECISION = 0.5
_MOST_WORDS = 6  # of one value
_WORD = r"[\w'’@:/+-]+(?:\.[\w'’@:/+-]+)*"  # a full stop at the end is not part of a word
_LAST_WORDS = re.compile(r"(?:(\S+)\s+)?(\S+)\s+$")
_NEXT_WORD = re.compile(r"\s+(\S+)|(\W)")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Field:
    """The rules of a field, and the value if none matches."""

    rules: Sequence[re.Pattern[str]]
    default: Json


class RegexTemplate:
    """Fills in a template of JSON by regular expressions; ValueError if answers are not objects."""

    name = "regex template"

    def __init__(self, texts: Sequence[str], answers: Sequence[str]) -> None:
        rows = [_flatten(_read_object(answer)) for answer in answers]
        template = Counter(tuple(row) for row in rows).most_common(1)[0][0]
        sample = list(zip(texts, rows, strict=True))[:MOST_ROWS]
        self._fields = {path: _learn(path, sample, rows) for path in template}
        compact = sum('":"' in answer or '":{' in answer for answer in answers) > len(answers) / 2
        self._separators = (",", ":") if compact else (", ", ": ")

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The filled template for each text."""
        return [self._fill(text) for text in texts]

    def _fill(self, text: str) -> str:
        answer: dict[str, Json] = {}
        for path, field in self._fields.items():
            inner = answer
            for key in path[:-1]:
                nested = inner.setdefault(key, {})
                assert isinstance(nested, dict)  # the paths are those of one object
                inner = nested
            inner[path[-1]] = _extract(field, text)
        return json.dumps(answer, ensure_ascii=False, separators=self._separators)


def _read_object(answer: str) -> dict[str, Json]:
    value = json.loads(answer)
    if not isinstance(value, dict) or not value:
        raise ValueError("the answer is not a JSON object with fields")
    return value


def _flatten(value: dict[str, Json], path: Path = ()) -> dict[Path, Json]:
    """The fields of an object by their path; an empty object is a field."""
    fields: dict[Path, Json] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            fields |= _flatten(inner, (*path, key))
        else:
            fields[(*path, key)] = inner
    return fields


def _learn(
    path: Path, sample: Sequence[tuple[str, dict[Path, Json]]], rows: Sequence[dict[Path, Json]]
) -> _Field:
    values = Counter(json.dumps(row[path]) for row in rows if path in row)
    default: Json = json.loads(values.most_common(1)[0][0])
    known = [(text, row[path]) for text, row in sample if path in row]
    candidates = Counter(rule for text, value in known for rule in _list_rules(text, value))
    scored = []
    for rule, _ in candidates.most_common(_MOST_CANDIDATES):
        pattern = re.compile(rule)
        matches = [
            (match[1], value)
            for text, value in known
            if (match := pattern.search(text)) is not None
        ]
        right = sum(_convert(found, value) == value for found, value in matches)
        if right >= max(_MIN_RIGHT, _MIN_PRECISION * len(matches)):
            scored.append((-right, rule, pattern))
    return _Field([pattern for _, _, pattern in sorted(scored)[:_MOST_RULES]], default)


def _list_rules(text: str, value: Json) -> Iterator[str]:
    """The candidates from the first occurrence of the value in the text."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return
    words = str(value).split()
    if not words or len(words) > _MOST_WORDS or not re.fullmatch(_WORD, words[0]):
        return
    occurrence = re.search(rf"(?<!\w){re.escape(str(value))}(?!\w)", text)
    if occurrence is None:
        return
    captured = rf"({_WORD}(?: {_WORD}){{{len(words) - 1}}})"
    before = _LAST_WORDS.search(text[: occurrence.start()])
    heads = [r"^\s*"]
    if before is not None:
        heads = [rf"(?<!\S){re.escape(before[2])}\s+"]
        heads += (
            [rf"(?<!\S){re.escape(before[1])}\s+{re.escape(before[2])}\s+"] if before[1] else []
        )
    after = _NEXT_WORD.match(text, occurrence.end())
    for head in heads:
        yield head + captured
        if after is not None:
            tail = rf"\s+{re.escape(after[1])}" if after[1] else re.escape(after[2])
            yield rf"{head}{captured}(?={tail})"


def _extract(field: _Field, text: str) -> Json:
    for rule in field.rules:
        match = rule.search(text)
        if match is not None and (value := _convert(match[1], field.default)) is not None:
            return value
    return field.default


def _convert(found: str, like: Json) -> Json:
    """The text as a value of the type of `like`; None if it is none."""
    try:
        return type(like)(found) if isinstance(like, int | float) else found
    except ValueError:
        return None
