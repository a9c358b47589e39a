"""GGUF files: to a model in Hugging Face format, back, and LoRA adapters for llama.cpp.

One tensor is in memory at a time. Source of the names and of the order of rows: llama.cpp,
`convert_hf_to_gguf.py` and `convert_lora_to_gguf.py`.
"""

import contextlib
import json
import math
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ftops.engine.base_models import (
    MODEL_CARD,
    find_licence,
    find_option_without_gguf,
    list_weights,
    read_json,
    read_safetensors_header,
)
from ftops.engine.lora.gguf_tokenizer import (
    read_gguf_tokenizer,
    read_tokenizer,
    write_gguf_tokenizer,
    write_tokenizer,
)
from ftops.errors import EngineError
from ftops.files import storage_error

FileType: TypeAlias = Literal["f32", "f16", "bf16", "q8_0"]
_FILE_TYPES: Final[Mapping[FileType, int]] = {  # LlamaFileType
    "f32": 0, "f16": 1, "q8_0": 7, "bf16": 32,
}  # fmt: skip
_BLOCK: Final = 32  # values with a common scale in Q8_0
_OUTER: Final = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
_INNER: Final = {  # of a layer
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_FROM_OUTER: Final = {name: ours for ours, name in _OUTER.items()}
_FROM_INNER: Final = {name: ours for ours, name in _INNER.items()}
_GGUF_NAMES: Final = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
_MODEL_CLASSES: Final = {  # by the architecture of a GGUF file, which is also the `model_type`
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
Values: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor in a file, by its name in Transformers; `read` returns 32-bit floats."""

    name: str
    shape: tuple[int, ...]
    read: Callable[[], Values]


def load_gguf() -> Any:
    """The package `gguf`; EngineError when the extra is not installed."""
    try:
        import gguf
    except ImportError as error:
        raise EngineError(
            "GGUF files need the package `gguf`, which is not installed",
            hint="Install it with the extra: pip install 'ftops[lora]'",
        ) from error
    return gguf


def convert_gguf(source: Path, folder: Path) -> None:
    """Write the model of a GGUF file into `folder`: Hugging Face format, 32-bit weights.

    EngineError for a damaged file, and for an architecture or a tokenizer that is not known.
    """
    gguf = load_gguf()
    try:
        reader = gguf.GGUFReader(source)
        metadata = {name: item.contents() for name, item in reader.fields.items()}
        architecture = metadata.get("general.architecture")
        if metadata.get("general.type", "model") != "model" or architecture not in _MODEL_CLASSES:
            raise _unknown_architecture(source, architecture)
        tensors = [_from_gguf(gguf, tensor) for tensor in reader.tensors]
        config = _read_gguf_config(metadata, {tensor.name: tensor.shape for tensor in tensors})
        tokenizer = read_gguf_tokenizer(metadata)
        write_tokenizer(folder, tokenizer, context_length=config["max_position_embeddings"])
        config |= {f"{role}_token_id": tokenizer.ids.get(role) for role in ("bos", "eos", "pad")}
        _write_json(folder / "config.json", config)
        _write_card(folder, metadata)
        _write_safetensors(
            folder / "model.safetensors",
            [_reorder(tensor, config, _join_halves) for tensor in tensors],
        )
    except (ValueError, IndexError, KeyError, TypeError, NotImplementedError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise EngineError(f"{source}: is not a complete GGUF file ({reason})") from error


def write_gguf(
    folder: Path, target: Path, file_type: FileType, adapter: Path | None = None
) -> None:
    """Write a model in Hugging Face format as a GGUF file, with its tokenizer and chat template.

    An `adapter` in PEFT format is merged into its weights. Vectors stay 32-bit floats. EngineError
    when the model or the adapter has no counterpart in GGUF files.
    """
    gguf = load_gguf()
    config = read_json(folder / "config.json")
    architecture = _get_gguf_name(config, folder)
    tensors = list(_list_safetensors(folder))
    if adapter is not None:
        tensors = _merge(tensors, adapter)
    tensors = [_reorder(tensor, config, _pair_rows) for tensor in tensors]
    if config.get("tie_word_embeddings"):
        tensors = [tensor for tensor in tensors if tensor.name != "lm_head.weight"]
    embedding = next(tensor for tensor in tensors if tensor.name == "model.embed_tokens.weight")
    tokenizer = read_tokenizer(folder, vocabulary=embedding.shape[0])
    entries = [(_to_gguf_name(tensor.name), tensor) for tensor in tensors]
    factors = _list_rope_factors(config, folder)
    if factors is not None:
        entries.append(("rope_freqs.weight", _Tensor("", factors.shape, lambda: factors)))
    with _open_writer(gguf, target, architecture) as writer:
        writer.add_type("model")
        if licence := find_licence(folder):
            writer.add_license(licence)
        _write_gguf_config(writer, config)
        writer.add_file_type(_FILE_TYPES[file_type])
        write_gguf_tokenizer(writer, tokenizer)
        _write_gguf_tensors(gguf, writer, entries, file_type)


def write_gguf_adapter(adapter: Path, base: Path, target: Path) -> None:
    """Write an adapter in PEFT format as a GGUF file for llama.cpp; `base` is its base model.

    EngineError for an adapter that llama.cpp cannot apply, such as DoRA.
    """
    gguf = load_gguf()
    rank, scale = _read_scale(adapter)
    config = read_json(base / "config.json")
    architecture = _get_gguf_name(config, base)
    entries = []
    for tensor in _list_safetensors(adapter, "adapter_model.safetensors"):
        name, part = _split_adapter_name(tensor.name)
        if part == "lora_b":
            tensor = _reorder(replace(tensor, name=name), config, _pair_rows)
        entries.append((f"{_to_gguf_name(name)}.{part}", tensor))
    with _open_writer(gguf, target, architecture) as writer:
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", scale * rank)  # llama.cpp divides by the rank
        _write_gguf_tensors(gguf, writer, entries, "f32")


def _read_scale(adapter: Path) -> tuple[int, float]:
    """The rank of an adapter and the factor of its product; EngineError for other adapters."""
    settings = read_json(adapter / "adapter_config.json")
    option = find_option_without_gguf(settings)
    if option is not None:
        raise EngineError(
            f"{adapter}: llama.cpp applies no adapters with {option!r}",
            hint="Merge the adapter into its base model instead (--as gguf).",
        )
    rank, alpha = int(settings["r"]), float(settings["lora_alpha"])
    return rank, alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def _merge(tensors: Sequence[_Tensor], adapter: Path) -> list[_Tensor]:
    """The weights with the products of the adapter's matrices added."""
    _, scale = _read_scale(adapter)
    parts = {
        _split_adapter_name(tensor.name): tensor
        for tensor in _list_safetensors(adapter, "adapter_model.safetensors")
    }

    def add(tensor: _Tensor) -> _Tensor:
        first, second = (parts.get((tensor.name, part)) for part in ("lora_a", "lora_b"))
        if first is None or second is None:
            return tensor
        return replace(tensor, read=lambda: tensor.read() + scale * second.read() @ first.read())

    return [add(tensor) for tensor in tensors]


def _unknown_architecture(path: Path, name: object) -> EngineError:
    known = ", ".join(_GGUF_NAMES)
    return EngineError(
        f"{path}: unknown architecture {name!r}",
        hint=f"Architectures with a GGUF format here: {known}.",
    )


def _get_gguf_name(config: Mapping[str, Any], folder: Path) -> str:
    name = _GGUF_NAMES.get(config.get("model_type", ""))
    if name is None or (config.get("sliding_window") and config.get("use_sliding_window", True)):
        raise _unknown_architecture(folder, config.get("model_type"))
    return name


def _to_gguf_name(name: str) -> str:
    stem, _, kind = name.rpartition(".")
    layer = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem)
    if layer and layer[2] in _INNER:
        return f"blk.{layer[1]}.{_INNER[layer[2]]}.{kind}"
    if stem in _OUTER:
        return f"{_OUTER[stem]}.{kind}"
    raise EngineError(f"the tensor {name!r} has no counterpart in GGUF files")


def _from_gguf(gguf: Any, tensor: Any) -> _Tensor:
    stem, _, kind = tensor.name.rpartition(".")
    layer = re.fullmatch(r"blk\.(\d+)\.(.+)", stem)
    if layer and layer[2] in _FROM_INNER:
        name = f"model.layers.{layer[1]}.{_FROM_INNER[layer[2]]}.{kind}"
    elif stem in _FROM_OUTER:
        name = f"{_FROM_OUTER[stem]}.{kind}"
    else:
        raise EngineError(
            f"the tensor {tensor.name!r} of the GGUF file is not supported",
            hint="Add the model from its folder in Hugging Face format.",
        )
    shape = tuple(int(size) for size in reversed(tensor.shape))

    def read() -> Values:
        values: Values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        return values.astype(np.float32, copy=False).reshape(shape)

    return _Tensor(name, shape, read)


def _split_adapter_name(name: str) -> tuple[str, str]:
    """The name of the weight that the tensor of an adapter changes, and which part it is."""
    match = re.fullmatch(r"base_model\.model\.(.+)\.lora_([AB])\.weight", name)
    if match is None:
        raise EngineError(f"the tensor {name!r} is no part of a LoRA adapter for llama.cpp")
    return f"{match[1]}.weight", f"lora_{match[2].lower()}"


def _reorder(
    tensor: _Tensor, config: Mapping[str, Any], order_rows: Callable[[Values, int], Values]
) -> _Tensor:
    """The tensor with the rows of each attention head in the other format's order.

    Transformers rotates the first half of a head with the second one, llama.cpp adjacent rows; it
    does so for the architecture `llama` only.
    """
    heads = config["num_attention_heads"]
    if _GGUF_NAMES[config["model_type"]] != "llama":
        return tensor
    if ".k_proj." in tensor.name:
        heads = config.get("num_key_value_heads") or heads
    elif ".q_proj." not in tensor.name:
        return tensor
    return replace(tensor, read=lambda: order_rows(tensor.read(), heads))


def _pair_rows(values: Values, heads: int) -> Values:
    rows = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return rows.swapaxes(1, 2).reshape(values.shape)


def _join_halves(values: Values, heads: int) -> Values:
    rows = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    return rows.swapaxes(1, 2).reshape(values.shape)


def _read_gguf_config(
    metadata: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Any]:
    """The document of config.json."""
    name = metadata["general.architecture"]
    heads = metadata[f"{name}.attention.head_count"]
    width = metadata[f"{name}.embedding_length"]
    epsilon = np.float32(metadata[f"{name}.attention.layer_norm_rms_epsilon"])
    if metadata.get(f"{name}.rope.scaling.type", "none") != "none":
        raise EngineError("scaled rotary positions are not read from GGUF files")
    return {
        "architectures": [_MODEL_CLASSES[name]],
        "model_type": name,
        "vocab_size": shapes["model.embed_tokens.weight"][0],
        "hidden_size": width,
        "intermediate_size": metadata[f"{name}.feed_forward_length"],
        "num_hidden_layers": metadata[f"{name}.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.get(f"{name}.attention.head_count_kv", heads),
        "head_dim": metadata.get(f"{name}.attention.key_length", width // heads),
        "max_position_embeddings": metadata[f"{name}.context_length"],
        "rms_norm_eps": float(str(epsilon)),  # the shortest number, such as 1e-05
        "rope_theta": metadata.get(f"{name}.rope.freq_base", 10000.0),
        "hidden_act": "silu",
        "attention_bias": any(shape.endswith("q_proj.bias") for shape in shapes),
        "tie_word_embeddings": "lm_head.weight" not in shapes,
        "dtype": "float32",
    }


def _write_gguf_config(writer: Any, config: Mapping[str, Any]) -> None:
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(_get_rope(config).get("rope_theta", 10000.0))


def _get_rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of the rotary positions, as Transformers 5 writes them or as 4 does."""
    return {"rope_theta": config.get("rope_theta", 10000.0)} | (
        config.get("rope_parameters") or config.get("rope_scaling") or {}
    )


def _list_rope_factors(config: Mapping[str, Any], folder: Path) -> Values | None:
    """The divisors of the rotary frequencies of Llama 3.1 and later; None without scaling.

    Source: `_compute_llama3_parameters` of Transformers.
    """
    rope = _get_rope(config)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind != "llama3":
        raise EngineError(f"{folder}: rotary positions of type {kind!r} have no GGUF format here")
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    frequencies = rope["rope_theta"] ** -(np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    turns = rope["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    divisors: Values = (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)
    return divisors


def _list_safetensors(folder: Path, name: str = "") -> Iterator[_Tensor]:
    for path in (folder / name,) if name else list_weights(folder):
        header, start = read_safetensors_header(path)
        for tensor, entry in header.items():
            read = partial(_read_safetensors, path, entry, start)
            yield _Tensor(tensor, tuple(entry["shape"]), read)


def _read_safetensors(path: Path, entry: Mapping[str, Any], start: int) -> Values:
    kinds = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
    if entry["dtype"] not in kinds:
        raise EngineError(f"{path}: tensors of type {entry['dtype']} are not supported")
    first, end = entry["data_offsets"]
    with path.open("rb") as stream:
        stream.seek(start + first)
        content = stream.read(end - first)
    values: Values = np.frombuffer(content, kinds[entry["dtype"]]).reshape(entry["shape"])
    if entry["dtype"] == "BF16":  # the upper half of a 32-bit float
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32, copy=False)


def _write_safetensors(path: Path, tensors: Sequence[_Tensor]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        size = 4 * math.prod(tensor.shape)
        entry = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [end, end + size]}
        header[tensor.name] = entry
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            stream.write(np.ascontiguousarray(tensor.read(), "<f4").tobytes())


@contextlib.contextmanager
def _open_writer(gguf: Any, target: Path, architecture: str) -> Iterator[Any]:
    """A `GGUFWriter` whose file replaces `target` when the block ends without an error."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    writer = gguf.GGUFWriter(temporary, architecture)
    try:
        yield writer
        writer.close()
        temporary.replace(target)
    except OSError as error:
        raise storage_error(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_gguf_tensors(
    gguf: Any, writer: Any, entries: Iterable[tuple[str, _Tensor]], file_type: FileType
) -> None:
    """Write the metadata and then the tensors, one at a time."""
    kinds = gguf.GGMLQuantizationType
    chosen = [
        (name, tensor, kinds[_choose_type(tensor.shape, file_type).upper()])
        for name, tensor in entries
    ]
    for name, tensor, kind in chosen:
        shape = gguf.quants.quant_shape_to_byte_shape(tensor.shape, kind)
        writer.add_tensor_info(name, shape, np.dtype(np.uint8), math.prod(shape), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, tensor, kind in chosen:
        writer.write_tensor_data(gguf.quants.quantize(tensor.read(), kind))


def _choose_type(shape: tuple[int, ...], file_type: FileType) -> FileType:
    if len(shape) < 2:
        return "f32"
    return "f16" if file_type == "q8_0" and shape[-1] % _BLOCK else file_type


def _write_card(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Write the model card: the name and the licence in the GGUF file."""
    licence = metadata.get("general.license")
    head = f"---\nlicense: {licence}\n---\n" if licence else ""
    name = metadata.get("general.name", "A language model")
    by = metadata.get("general.organization", "an unknown organization")
    text = f"{head}\n# {name}\n\nBy {by}. Converted from a GGUF file.\n"
    (folder / MODEL_CARD).write_text(text.lstrip(), encoding="utf-8")


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
