"""Keys that are not part of a row format: what they contain, and what happens to them.

A key with content to learn from (an image, a label, a rejected answer) is refused by name. A key
that only describes the row (an id, a source) may be dropped by a fix that names it. The meaning of
any other key is unknown, and only the user can drop it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import cast

from ftops.records import RowFormat
from ftops.rows.messages import InvalidRow, JsonObject, UnexpectedKeys, message_text, quote

_MEDIA = {"image": "a picture", "audio": "sound", "video": "a film"}
_CARRIED = {
    "a picture": ("images", "img", "imgs", "pixel_values", "picture", "pictures", "photo", "photos",
                  "image_url", "image_urls", "image_path", "image_paths"),
    "sound": ("audios", "sound", "sounds", "speech", "wav"),
    "a film": ("videos", "frames"),
    "a label": ("label", "labels", "class", "category", "target", "targets", "answer", "answers",
                "gold", "solution", "ground_truth"),
    "one answer of a preference": ("chosen", "rejected", "preferred", "preferred_output",
                                   "non_preferred_output", "rejected_output", "rejected_response",
                                   "chosen_response"),
    "a judgement of the answer": ("score", "scores", "rating", "ratings", "reward", "rewards",
                                  "margin", "rank", "preference", "desirable"),
    "how much the row counts": ("weight", "weights", "sample_weight", "mask", "loss_mask",
                                "train_mask", "train_on_turn"),
    "tools or their calls": ("tools", "functions", "tool_calls", "function_call", "tool_choice",
                             "parallel_tool_calls"),
    "a part of the prompt": ("prompt", "system", "system_prompt", "instruction", "instructions",
                                "input", "inputs", "context", "contexts", "passage", "document",
                                "documents", "question", "query", "suffix", "prefix"),
    "turns of a conversation": ("history", "conversation", "conversations", "messages", "turns",
                                "dialog", "dialogue"),
    "a part of the answer": ("completion", "completions", "output", "outputs", "response",
                             "responses", "reasoning", "reasoning_content", "thinking", "thought",
                             "rationale", "explanation", "chain_of_thought"),
}  # fmt: skip
_CARRIES = _MEDIA | {name: carried for carried, names in _CARRIED.items() for name in names}
_METADATA = frozenset({
    "id", "_id", "idx", "index", "row_id", "row_number", "line_number", "uid", "uuid", "guid",
    "example_id", "sample_id", "doc_id", "document_id", "conversation_id", "question_id",
    "prompt_id", "message_id", "session_id", "user_id", "__index_level_0__",
    "hash", "md5", "sha1", "sha256", "checksum",
    "source", "sources", "src", "origin", "dataset", "dataset_name", "data_source", "subset",
    "split", "url", "urls", "uri", "filename", "file_name", "license", "licence",
    "author", "authors", "annotator", "annotator_id", "created_by",
    "date", "datetime", "created", "created_at", "updated", "updated_at", "timestamp",
    "lang", "language", "metadata", "meta",
})  # fmt: skip
_NAMES = "|".join(_MEDIA)
# such as <image>, <image_1>, <|image|> and <|image_pad|>; in backquotes it is only quoted
_PLACEHOLDER = re.compile(rf"(?<!`)<(?:({_NAMES})(?:_?\d+)?|\|({_NAMES})[a-z_\d]*\|)>(?!`)")


def classify_unexpected(error: UnexpectedKeys) -> InvalidRow:
    """The error with the code of the failed check, and the content of the key or the next step."""
    for name in error.keys:
        if carried := describe_key_content(name):
            return InvalidRow(
                f"{error}; {quote(name)} contains {carried}, which would be lost", "unsupported-key"
            )
    if all(map(is_metadata, error.keys)):
        return InvalidRow(str(error), "extra-key")
    return InvalidRow(f"{error}; --drop KEY drops a key that is not training data", "unknown-key")


def describe_key_content(name: str) -> str:
    """What a key or column of this name contains besides text; "" if unknown."""
    return _CARRIES.get(_plain(name), "")


def is_metadata(name: str) -> bool:
    """Whether a key or column of this name only describes the row."""
    return _plain(name) in _METADATA


def _plain(name: str) -> str:
    return re.sub(r"[\s.-]+", "_", name.strip().lower())


def list_keys(record: Mapping[str, object]) -> list[str]:
    """The keys of a record, and of the `input` of a preference in it."""
    asked = record.get("input")
    return [*record, *(asked if isinstance(asked, dict) else ())]


def without_keys(record: Mapping[str, object], names: Iterable[str]) -> dict[str, object]:
    """The record, and the `input` of a preference in it, without these keys."""
    left_out = set(names)
    kept = {key: value for key, value in record.items() if key not in left_out}
    asked = kept.get("input")
    if isinstance(asked, dict):
        kept["input"] = {key: value for key, value in asked.items() if key not in left_out}
    return kept


def may_hold_placeholder(text: str) -> bool:
    """Whether `check_placeholders` must check any of the texts that `text` joins."""
    return "<" in text and _PLACEHOLDER.search(text) is not None


def check_placeholders(row: JsonObject, row_format: RowFormat) -> None:
    """InvalidRow if a text of the prompt has a placeholder for an image, sound or video."""
    if row_format is RowFormat.COMPLETION:
        _check_placeholders(cast(str, row["prompt"]))
        return
    if row_format is RowFormat.PREFERENCE:
        messages = cast("dict[str, list[JsonObject]]", row["input"])["messages"]
    else:
        messages = cast("list[JsonObject]", row["messages"])[:-1]
    for message in messages:
        _check_placeholders(message_text(message))


def _check_placeholders(text: str) -> None:
    if "<" not in text:
        return
    for found in _PLACEHOLDER.finditer(text):
        kind = found[1] or found[2]
        if f"</{kind}>" not in text:  # with a closing tag it is markup
            raise InvalidRow(
                f"{found[0]} stands for {_MEDIA[kind]}; only text is trained on",
                "media-placeholder",
            )
