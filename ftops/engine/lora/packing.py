"""Exact packing: several documents in one row of a stock Transformers model, without padding.

All linear layers see the tokens of all documents in one flat row. Only attention needs them apart:
the attention function that is registered here copies queries, keys and values to
[documents, longest] for causal attention, so that no document sees another. Documents are sorted by
length and grouped, so that little of these squares is empty. Positions restart with each document.

A model whose attention is not plain causal attention (sliding windows) uses the library's own
function, which derives a block-diagonal mask from the positions: also exact, but slower.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import AttentionInterface, PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from ftops.engine.lora.encoding import EncodedDocument

PACKED_ATTENTION = "ftops_packed"
_GROUP_RATIO = 1.5  # the longest document of a group is at most this many times its shortest


@dataclass(frozen=True, slots=True, eq=False)
class AttentionGroup:
    """Consecutive documents of a pack with similar lengths."""

    start: int  # the first token in the pack
    end: int
    n_documents: int
    longest: int
    slots: torch.Tensor | None  # [tokens] places in [n_documents * longest]; None: it has no gaps


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """Documents as the input of one forward pass, and what they are trained on.

    `places` [P] are the tokens before which a prediction counts, less one: the positions of the
    logits. `targets`, `weights` and `documents` [P] belong to them; `documents` counts in the order
    in which `make_pack` got the documents.
    """

    token_ids: torch.Tensor  # [1, T]
    position_ids: torch.Tensor  # [1, T]
    groups: tuple[AttentionGroup, ...]
    places: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    documents: torch.Tensor
    n_documents: int


def make_pack(documents: Sequence[EncodedDocument], device: torch.device | str = "cpu") -> Pack:
    """Pack the documents on the device."""
    order = sorted(range(len(documents)), key=lambda n: (len(documents[n]), n))
    lengths = [len(documents[n]) for n in order]
    starts = np.cumsum([0, *lengths[:-1]])
    weights = np.concatenate([documents[n].weights for n in order])
    counted = np.flatnonzero(weights)
    owners = np.repeat(np.array(order), lengths)
    token_ids = np.concatenate([documents[n].token_ids for n in order])

    def to_device(array: Any) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    return Pack(
        token_ids=to_device(token_ids)[None],
        position_ids=to_device(np.arange(len(owners)) - np.repeat(starts, lengths))[None],
        groups=tuple(_group(lengths, starts, device)),
        places=to_device(counted - 1),
        targets=to_device(token_ids[counted]),
        weights=to_device(weights[counted]),
        documents=to_device(owners[counted]),
        n_documents=len(documents),
    )


def _group(
    lengths: Sequence[int], starts: Any, device: torch.device | str
) -> Iterator[AttentionGroup]:
    first = 0
    for last, length in enumerate(lengths, start=1):
        if last < len(lengths) and lengths[last] <= _GROUP_RATIO * lengths[first]:
            continue
        members = lengths[first:last]
        slots = None
        if members[0] != length:
            places = [np.arange(size) + n * length for n, size in enumerate(members)]
            slots = torch.from_numpy(np.concatenate(places)).to(device)
        start = int(starts[first])
        yield AttentionGroup(start, start + sum(members), len(members), length, slots)
        first = last


def split_rows(sizes: Sequence[int], *, n_parts: int, max_tokens: int) -> list[list[int]]:
    """The indices of the rows in each pack, given the tokens of each row.

    There are at least `n_parts` packs if there are as many rows. No pack has more than `max_tokens`
    tokens, unless one row has.
    """
    budget = min(max_tokens, sum(sizes) / n_parts)
    packs: list[list[int]] = []
    filled = 0
    for row, size in enumerate(sizes):
        is_needed = len(sizes) - row <= n_parts - len(packs)  # a pack for each row that is left
        if not packs or filled + size > budget or is_needed:
            packs.append([])
            filled = 0
        packs[-1].append(row)
        filled += size
    return packs


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    groups: Sequence[AttentionGroup] = (),
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each document; the library's function without `groups`.

    Queries are [1, heads, T, head width]; the result is [1, T, heads, head width].
    """
    if not groups:
        plain, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return plain, None
    outputs = []
    for group in groups:
        states = (_spread(tensor, group) for tensor in (query, key, value))
        output, _ = sdpa_attention_forward(module, *states, None, **options)
        flat = output.flatten(0, 1)
        outputs.append(flat if group.slots is None else flat.index_select(0, group.slots))
    return torch.cat(outputs)[None], None


def _spread(states: torch.Tensor, group: AttentionGroup) -> torch.Tensor:
    """[1, heads, T, width] to [documents, heads, longest, width] for the group's tokens."""
    flat = states[0].transpose(0, 1)[group.start : group.end]
    if group.slots is not None:
        size = group.n_documents * group.longest
        flat = flat.new_zeros(size, *flat.shape[1:]).index_copy(0, group.slots, flat)
    return flat.unflatten(0, (group.n_documents, group.longest)).transpose(1, 2)


AttentionInterface.register(PACKED_ATTENTION, packed_attention)


def has_plain_attention(config: PretrainedConfig) -> bool:
    """Whether all layers attend to the whole document before each token."""
    layers = getattr(config, "layer_types", None)
    if layers:
        return set(layers) == {"full_attention"}
    return getattr(config, "sliding_window", None) is None


def forward(model: torch.nn.Module, pack: Pack) -> torch.Tensor:
    """[P, vocabulary] The logits at the pack's places, in fp32."""
    extra = {"groups": pack.groups} if _is_packed(model) else {}
    output = model(
        input_ids=pack.token_ids,
        position_ids=pack.position_ids,
        use_cache=False,
        logits_to_keep=pack.places,
        **extra,
    )
    return output.logits[0].float()


def _is_packed(model: Any) -> bool:
    return bool(model.config._attn_implementation == PACKED_ATTENTION)
