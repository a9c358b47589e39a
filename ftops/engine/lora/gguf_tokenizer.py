"""Byte-level BPE tokenizers: from the metadata of a GGUF file to Hugging Face, and back.

A GGUF file names how text is split before the merges; tokenizer.json contains the expressions.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ftops.engine.base_models import CHAT_TEMPLATE, find_chat_template, read_json
from ftops.errors import EngineError

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # `tokenizer.ggml.token_type`
_ROLES: Final = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
_WORDS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST: Final = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def _split(expression: str) -> dict[str, Any]:
    return {
        "type": "Split",
        "pattern": {"Regex": expression},
        "behavior": "Isolated",
        "invert": False,
    }


# `tokenizer.ggml.pre` and the steps before the merges.
_PRE_TOKENIZERS: Final[Mapping[str, Sequence[dict[str, Any]]]] = {
    "gpt-2": (_byte_level(use_regex=True),),
    "smollm": ({"type": "Digits", "individual_digits": True}, _byte_level(use_regex=True)),
    "llama-bpe": (_split(_WORDS + r"\p{N}{1,3}" + _REST), _byte_level(use_regex=False)),
    "qwen2": (_split(_WORDS + r"\p{N}" + _REST), _byte_level(use_regex=False)),
}
_NORMALIZERS: Final = {"qwen2": {"type": "NFC"}}
_WHOLE_WORDS: Final = frozenset({"llama-bpe"})  # a token of a whole word needs no merges


@dataclass(frozen=True, slots=True)
class GgufTokenizer:
    """The tokenizer of a GGUF file; `ids` has the token ids of the roles bos, eos, unk and pad."""

    pre: str
    tokens: Sequence[str]
    token_types: Sequence[int]
    merges: Sequence[str]
    ids: Mapping[str, int] = field(default_factory=dict)
    add_bos: bool = False
    chat_template: str | None = None


def read_gguf_tokenizer(metadata: Mapping[str, Any]) -> GgufTokenizer:
    """The tokenizer in the metadata of a GGUF file; EngineError for one that is not supported."""
    kind = metadata.get("tokenizer.ggml.model")
    pre = metadata.get("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or pre not in _PRE_TOKENIZERS:
        raise EngineError(
            f"its tokenizer ({kind}, {pre}) is not supported in GGUF files",
            hint="Add the model from its folder in Hugging Face format. Supported are byte-level"
            f" BPE tokenizers: {', '.join(_PRE_TOKENIZERS)}.",
        )
    keys = {role: f"tokenizer.ggml.{name}_token_id" for role, name in _ROLES.items()}
    return GgufTokenizer(
        pre=pre,
        tokens=metadata["tokenizer.ggml.tokens"],
        token_types=metadata["tokenizer.ggml.token_type"],
        merges=metadata["tokenizer.ggml.merges"],
        ids={role: metadata[key] for role, key in keys.items() if key in metadata},
        add_bos=metadata.get("tokenizer.ggml.add_bos_token", False),
        chat_template=metadata.get("tokenizer.chat_template"),
    )


def write_gguf_tokenizer(writer: Any, tokenizer: GgufTokenizer) -> None:
    """Add the tokenizer to the metadata of a `gguf.GGUFWriter`."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types(tokenizer.token_types)
    writer.add_token_merges(tokenizer.merges)
    for role, token_id in tokenizer.ids.items():
        writer.add_uint32(f"tokenizer.ggml.{_ROLES[role]}_token_id", token_id)
    writer.add_add_bos_token(tokenizer.add_bos)
    writer.add_add_space_prefix(False)
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)


def write_tokenizer(folder: Path, tokenizer: GgufTokenizer, *, context_length: int) -> None:
    """Write the tokenizer's files in Hugging Face format."""
    special = {role: tokenizer.tokens[token_id] for role, token_id in tokenizer.ids.items()}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
        **{f"{role}_token": token for role, token in special.items()},
    }
    _write_json(folder / "tokenizer.json", _render_tokenizer(tokenizer))
    _write_json(folder / "tokenizer_config.json", settings)
    _write_json(
        folder / "generation_config.json",
        {f"{role}_token_id": tokenizer.ids[role] for role in special if role != "unk"},
    )
    if tokenizer.chat_template is not None:
        (folder / CHAT_TEMPLATE).write_text(tokenizer.chat_template, encoding="utf-8")


def _render_tokenizer(tokenizer: GgufTokenizer) -> dict[str, Any]:
    """The document of tokenizer.json."""
    steps = _PRE_TOKENIZERS[tokenizer.pre]
    bos = tokenizer.tokens[tokenizer.ids["bos"]] if tokenizer.add_bos else None
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token_id,
                "content": tokenizer.tokens[token_id],
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": kind == CONTROL,
            }
            for token_id, kind in enumerate(tokenizer.token_types)
            if kind in (CONTROL, USER_DEFINED)
        ],
        "normalizer": _NORMALIZERS.get(tokenizer.pre),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)},
        "post_processor": None if bos is None else _begin_with(bos, tokenizer.ids["bos"]),
        "decoder": _byte_level(use_regex=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": tokenizer.pre in _WHOLE_WORDS,
            "vocab": {
                token: token_id
                for token_id, (token, kind) in enumerate(
                    zip(tokenizer.tokens, tokenizer.token_types, strict=True)
                )
                if kind != UNUSED
            },
            "merges": [merge.split(" ", 1) for merge in tokenizer.merges],
        },
    }


def _begin_with(token: str, token_id: int) -> dict[str, Any]:
    """A post-processor that adds the token before each text."""
    first = {"SpecialToken": {"id": token, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [first, text],
        "pair": [first, text, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {token: {"id": token, "ids": [token_id], "tokens": [token]}},
    }


def read_tokenizer(folder: Path, *, vocabulary: int) -> GgufTokenizer:
    """The tokenizer of a model in Hugging Face format, for a GGUF file.

    `vocabulary` is the number of rows of the embedding. EngineError for a tokenizer that is not
    supported.
    """
    document = read_json(folder / "tokenizer.json")
    settings = read_json(folder / "tokenizer_config.json")
    model = document["model"]
    pre = _find_pre_tokenizer(document)
    if model.get("type") != "BPE" or not model.get("merges") or pre is None:
        raise EngineError(
            f"{folder}: its tokenizer has no counterpart in GGUF files here",
            hint=f"Supported are byte-level BPE tokenizers: {', '.join(_PRE_TOKENIZERS)}.",
        )
    tokens = [f"[PAD{token_id}]" for token_id in range(vocabulary)]
    types = [UNUSED] * vocabulary
    for token, token_id in model["vocab"].items():
        tokens[token_id], types[token_id] = token, NORMAL
    for added in document.get("added_tokens", []):
        tokens[added["id"]] = added["content"]
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    numbers = {token: token_id for token_id, token in enumerate(tokens)}
    roles = {role: _get_token(settings.get(f"{role}_token")) for role in _ROLES}
    ids = {role: numbers[token] for role, token in roles.items() if token in numbers}
    return GgufTokenizer(
        pre=pre,
        tokens=tokens,
        token_types=types,
        merges=[item if isinstance(item, str) else " ".join(item) for item in model["merges"]],
        ids=ids,
        add_bos="bos" in ids and roles["bos"] in json.dumps(document.get("post_processor")),
        chat_template=find_chat_template(folder),
    )


def _find_pre_tokenizer(document: Mapping[str, Any]) -> str | None:
    """The name in GGUF files of what splits the text; None for one without a name here."""
    found = document.get("pre_tokenizer") or {}
    steps = [_simplify(step) for step in found.get("pretokenizers", [found])]
    names = (
        name
        for name, known in _PRE_TOKENIZERS.items()
        if steps == [_simplify(step) for step in known]
    )
    return next(names, None)


def _simplify(step: Mapping[str, Any]) -> dict[str, Any]:
    """The step without what does not change the tokens."""
    return {key: value for key, value in step.items() if key != "trim_offsets"} | (
        {"use_regex": step.get("use_regex", True)} if step.get("type") == "ByteLevel" else {}
    )


def _get_token(value: Any) -> str:
    """A token in tokenizer_config.json: a text, or an object with its properties."""
    return str(value["content"] if isinstance(value, dict) else value)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
