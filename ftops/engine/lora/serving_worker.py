"""The process that answers with one base model and its adapters: `python -m` this module.

It chooses the back end: llama.cpp where it is installed and knows the architecture, else
Transformers. Only that back end is imported.
"""

import importlib
import importlib.util
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftops.engine.lora.gguf_format import FileType, write_gguf
from ftops.engine.lora.serving_loop import MessageWriter, ServingWorker, serve
from ftops.errors import EngineError

_LLAMA_CPP = "ftops.engine.lora.llama_cpp"
_TRANSFORMERS = "ftops.engine.lora.generate"
_FILE_TYPES: Mapping[str, FileType] = {"q8_0": "q8_0", "bf16": "bf16", "fp32": "f32"}
_log = logging.getLogger(__name__)


def open_worker(opening: Any, writer: MessageWriter) -> tuple[ServingWorker, str]:
    """Load the model; returns what handles the messages, and what serves the model."""
    file = _find_gguf(opening)
    if file is not None:
        # Then Transformers loads only its tokenizers: PyTorch takes seconds and 300 MB.
        sys.modules["torch"] = None  # type: ignore[assignment]
    module = importlib.import_module(_TRANSFORMERS if file is None else _LLAMA_CPP)
    backend, encoder, description = module.open_backend(opening, file)
    if opening["adapter"]:
        description += " merged"
    worker = ServingWorker(
        backend,
        encoder,
        writer,
        context_length=opening["context_length"],
        has_grammar=file is not None,
    )
    return worker, description


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
