"""The process that answers with one base model and its adapters: `python -m` this module.

It chooses the back end: a vLLM server that has the base model, else llama.cpp where it is installed
and knows the architecture, else Transformers. Only that back end is imported.
"""

import importlib
import importlib.util
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftops.engine.lora.gguf_format import FileType, write_gguf
from ftops.engine.lora.serving_loop import Backend, MessageWriter, ServingWorker, serve
from ftops.engine.lora.vllm import VllmBackend, find_served_name
from ftops.engine.trainer import ModelUnavailable
from ftops.errors import EngineError

_ENCODER = "ftops.engine.lora.prompt_encoder"
_LLAMA_CPP = "ftops.engine.lora.llama_cpp"
_TRANSFORMERS = "ftops.engine.lora.generate"
_FILE_TYPES: Mapping[str, FileType] = {"q8_0": "q8_0", "bf16": "bf16", "fp32": "f32"}
_log = logging.getLogger(__name__)


def open_worker(opening: Any, writer: MessageWriter) -> tuple[ServingWorker, str]:
    """Load the model; returns what handles the messages, and what serves the model."""
    vllm_name = _find_vllm_name(opening)
    file = _find_gguf(opening) if vllm_name is None else None
    if vllm_name is not None or file is not None:
        # Then Transformers loads only its tokenizers: PyTorch takes seconds and 300 MB.
        sys.modules["torch"] = None  # type: ignore[assignment]
    if vllm_name is not None:
        encoder = importlib.import_module(_ENCODER).PromptEncoder(Path(opening["base"]))
        ends = encoder.list_end_tokens()
        backend: Backend = VllmBackend(opening["vllm"], vllm_name, stop_tokens=ends)
        description = "vLLM"
    else:
        module = importlib.import_module(_TRANSFORMERS if file is None else _LLAMA_CPP)
        backend, encoder, description = module.open_backend(opening, file)
    if opening["adapter"]:
        description += " merged"
    worker = ServingWorker(
        backend,
        encoder,
        writer,
        context_length=opening["context_length"],
        has_grammar=vllm_name is not None or file is not None,
    )
    return worker, description


def _find_vllm_name(opening: Any) -> str | None:
    """The name of the model at the vLLM server; None without a server, or if it has another one."""
    if not opening["vllm"]:
        return None
    try:
        return find_served_name(opening["vllm"], Path(opening["weights"]))
    except ModelUnavailable as error:
        raise EngineError(str(error)) from error


def _find_gguf(opening: Any) -> Path | None:
    """The model as a file for llama.cpp, written once; None when llama.cpp cannot serve it.

    EngineError when an adapter cannot be merged.
    """
    if opening["backend"] != "auto" or importlib.util.find_spec("xllamacpp") is None:
        return None
    weights, precision = Path(opening["weights"]), opening["precision"]
    adapter = Path(opening["adapter"]) if opening["adapter"] else None
    file = (adapter or weights) / f"serving-{precision}.gguf"
    if not file.exists():
        try:
            write_gguf(weights, file, _FILE_TYPES[precision], adapter)
        except EngineError as error:  # an architecture or a tokenizer without a counterpart
            if adapter is not None:
                raise
            _log.warning("llama.cpp does not serve this model: %s", error.message)
            return None
    return file


if __name__ == "__main__":
    sys.exit(serve(open_worker))
