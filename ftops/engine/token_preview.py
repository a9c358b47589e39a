"""Rows as a registered base model reads them: tokens, and the weight of each in the loss.

The tokenizer and the chat template need a part of the extra `lora`, but not PyTorch.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from ftops.engine.base_models import BaseModel
from ftops.engine.trainer_registry import INSTALL_LORA
from ftops.engine.training_file import PreferenceRow, TrainingRow, parse_row
from ftops.errors import DatasetError, EngineError
from ftops.rows.messages import InvalidRow, JsonObject

_PACKAGES = ("transformers", "jinja2")


@dataclass(frozen=True, slots=True)
class TokenDocument:
    """A text as tokens; `weights[n]` is the weight in the loss of token n, 0 if it is not trained.

    `kind` is "preferred" or "other" for the two answers of a pair.
    """

    kind: str
    token_ids: Sequence[int]
    texts: Sequence[str]
    weights: Sequence[float]


@dataclass(frozen=True, slots=True)
class TokenPreview:
    """The documents of each row, and the system prompt that the template adds to chats without one.

    `default_system_prompt` is None when the template adds none.
    """

    rows: Sequence[Sequence[TokenDocument]]
    default_system_prompt: str | None


def preview_tokens(base: BaseModel, rows: Sequence[tuple[str, JsonObject]]) -> TokenPreview:
    """Encode rows, each with its place for messages.

    EngineError without the packages; DatasetError for a row that cannot be trained on.
    """
    if any(importlib.util.find_spec(name) is None for name in _PACKAGES):
        raise EngineError(
            f"the tokenizer of {base.name} needs packages that are not installed",
            hint=f"Run `{INSTALL_LORA}`.",
        )
    encoding = importlib.import_module("ftops.engine.lora.encoding")  # imports Transformers
    encoder = encoding.RowEncoder(encoding.load_tokenizer(base.folder))
    shown = []
    for place, raw in rows:
        try:
            row = parse_row(orjson.dumps(raw))
            documents = encoder.encode_row(row).documents
        except (InvalidRow, encoding.InvalidChat) as error:
            raise DatasetError(f"{place}: {error}") from error
        shown.append(
            [
                TokenDocument(
                    kind,
                    document.token_ids.tolist(),
                    encoder.decode_each(document),
                    document.weights.tolist(),
                )
                for kind, document in zip(_list_kinds(row), documents, strict=True)
            ]
        )
    return TokenPreview(shown, encoder.find_default_system_prompt())


def _list_kinds(row: TrainingRow) -> Sequence[str]:
    return ("preferred", "other") if isinstance(row, PreferenceRow) else ("",)
