"""The messages between the engine and a serving process: one JSON object per line.

The engine writes, first, what to open, and then requests:
    {"base": …, "weights": …, "adapter": …, "vllm": …, "precision": …, "backend": …,
     "context_length": …, "threads": …}
    {"op": "start", "id": 1, "adapter": …, "prompts": […], "order": [0, 0], "params": {…}}
    {"op": "count", "id": 2, "prompt": …}
    {"op": "end", "id": 1}              the request has ended, or has no reader any more
    {"op": "unload", "adapter": …}

`order` has the prompt of each answer; an adapter is the folder of a fine-tuned model, "" is none.
That of the first message is merged into the weights.
The process answers:
    {"opened": "llama.cpp q8_0"}        or {"failed": …, "hint": …}, and it exits
    {"id": 1, "chunk": […]}             see `render_chunk`
    {"id": 1, "error": …}               with "invalid" or "too_long", if the request is the reason
    {"id": 2, "result": 12}
"""

from collections.abc import Mapping
from typing import Any

from ftops.engine.trainer import (
    ChatPrompt,
    GenerationChunk,
    Prompt,
    SamplingParams,
    TokenLogprob,
)
from ftops.engine.training_file import Turn
from ftops.records import Json


def render_prompt(prompt: Prompt) -> Any:
    """The prompt as JSON: a text, or turns and tools."""
    if isinstance(prompt, str):
        return prompt
    turns = [
        {
            "role": turn.role,
            "content": turn.content,
            "tool_calls": list(turn.tool_calls),
            "tool_call_id": turn.tool_call_id,
            "name": turn.name,
        }
        for turn in prompt.turns
    ]
    return {"turns": turns, "tools": list(prompt.tools)}


def read_prompt(document: Any) -> Prompt:
    if isinstance(document, str):
        return document
    turns = (
        Turn(**{**turn, "tool_calls": tuple(turn["tool_calls"])}) for turn in document["turns"]
    )
    return ChatPrompt(tuple(turns), tuple(document["tools"]))


def render_params(params: SamplingParams) -> dict[str, Any]:
    return {
        "max_tokens": params.max_tokens,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "stop": list(params.stop),
        "seed": params.seed,
        "logprobs": params.logprobs,
        "logit_bias": list(params.logit_bias.items()),  # keys of JSON are texts
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
        "json_schema": params.json_schema,
        "precision": params.precision,
        "forced_calls": params.forced_calls,
        "parallel_tool_calls": params.parallel_tool_calls,
    }


def read_params(document: Mapping[str, Any]) -> SamplingParams:
    values = {**document, "stop": tuple(document["stop"])}
    return SamplingParams(**{**values, "logit_bias": dict(document["logit_bias"])})


def render_chunk(chunk: GenerationChunk) -> list[Json]:
    logprobs: list[Json] = [
        [entry.token, entry.logprob, dict(entry.top)] for entry in chunk.logprobs
    ]
    calls: list[Json] = list(chunk.tool_calls)
    return [chunk.index, chunk.text, logprobs, chunk.n_tokens, chunk.finish_reason, calls]


def read_chunk(document: Any) -> GenerationChunk:
    index, text, logprobs, n_tokens, reason, calls = document
    entries = tuple(TokenLogprob(token, value, top) for token, value, top in logprobs)
    return GenerationChunk(index, text, entries, n_tokens, reason, tuple(calls))
