"""`ftops data preview --for MODEL`: rows as tokens of a base model of the built-in engine."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.text import Text

from ftops.cli.environment import get_home
from ftops.cli.format import indent, render_pairs
from ftops.cli.output import Output, clean
from ftops.data.rows import Row
from ftops.engine.base_models import BaseModel, BaseModelStore
from ftops.engine.lora.model_sources import PACKAGED_MODELS
from ftops.engine.settings import EngineFolder
from ftops.engine.token_preview import TokenDocument, TokenPreview, preview_tokens
from ftops.errors import EngineError
from ftops.records import ENGINE_PROVIDER, Json

_TRAINED = "bold green"


def find_base_model(target: str | None) -> BaseModel | None:
    """The registered base model that `--for` names; EngineError for one that can be added."""
    name = (target or "").removeprefix(f"{ENGINE_PROVIDER}/")
    base = BaseModelStore(EngineFolder(get_home() / "engine").base_models).find(name)
    if base is None and name in PACKAGED_MODELS:
        raise EngineError(
            f"the base model {name} has not been added",
            hint=f"Run `ftops engine models add {name}`.",
        )
    return base


def show_tokens(
    out: Output, name: str, unit: str, rows: Sequence[Row], base: BaseModel, *, with_borders: bool
) -> None:
    """Print rows as tokens with their loss mask; `with_borders` separates the tokens."""
    preview = preview_tokens(base, [(f"{name}:{row.line}", row.raw) for row in rows])
    places = [row.line for row in rows]
    for place, documents in zip(places, preview.rows, strict=True):
        longest = max(len(document.token_ids) for document in documents)
        if longest > base.context_length:
            out.warn(
                f"note: {unit} {place} has {longest:,} tokens, and {base.name} reads"
                f" {base.context_length:,}: a training refuses it"
            )
    out.finish(
        _to_json(name, unit, places, base, preview),
        essential=[
            f"{place} {_count(documents)} {_count_trained(documents)}"
            for place, documents in zip(places, preview.rows, strict=True)
        ],
        human=lambda: _render(
            [
                ("rows of", name),
                ("for", base.name),
                ("system prompt", _describe_system_prompt(preview)),
                ("trained", "bold green" if _has_colours(out) else "in ⟦ ⟧"),
            ],
            unit,
            dict(zip(places, preview.rows, strict=True)),
            is_coloured=_has_colours(out),
            border="|" if with_borders else "",
        ),
    )


def _has_colours(out: Output) -> bool:
    return out.console.is_terminal and out.console.color_system is not None


def _describe_system_prompt(preview: TokenPreview) -> str | None:
    prompt = preview.default_system_prompt
    return prompt and f"{prompt!r}, which the chat template adds to chats without one"


def _render(
    about: list[tuple[str, object]],
    unit: str,
    rows: dict[int, Sequence[TokenDocument]],
    *,
    is_coloured: bool,
    border: str,
) -> Iterator[RenderableType]:
    yield render_pairs(about)
    for place, documents in rows.items():
        yield ""
        counts = f"{_count(documents):,} tokens, {_count_trained(documents):,} trained on"
        yield Text.assemble((f"{unit} {place:,}", "bold"), f"  {counts}")
        for document in documents:
            if document.kind:
                yield Text(f"  {document.kind}", style="cyan")
            yield indent(_render_document(document, is_coloured=is_coloured, border=border))


def _render_document(document: TokenDocument, *, is_coloured: bool, border: str) -> Text:
    text = Text()
    pairs = zip(document.texts, document.weights, strict=True)
    for is_trained, group in groupby(pairs, key=lambda pair: pair[1] == 1):
        part = border.join(_show(token) for token, _ in group)
        if is_trained and not is_coloured:
            part = f"⟦{part}⟧"
        text.append(part, _TRAINED if is_trained else "none")
        text.append("" if is_trained else border)
    return text


def _show(token: str) -> str:
    return clean(token.replace("\r", "␍").replace("\t", "⇥")).replace("\n", "⏎\n")


def _count(documents: Sequence[TokenDocument]) -> int:
    return sum(len(document.token_ids) for document in documents)


def _count_trained(documents: Sequence[TokenDocument]) -> int:
    return sum(weight == 1 for document in documents for weight in document.weights)


def _to_json(
    name: str, unit: str, places: Sequence[int], base: BaseModel, preview: TokenPreview
) -> Json:
    return {
        "file": name,
        "unit": unit,
        "model": base.name,
        "default_system_prompt": preview.default_system_prompt,
        "rows": [
            {
                "location": place,
                "tokens": _count(documents),
                "trained_tokens": _count_trained(documents),
                "documents": [
                    {
                        "kind": document.kind or None,
                        "token_ids": list(document.token_ids),
                        "texts": list(document.texts),
                        "weights": list(document.weights),
                    }
                    for document in documents
                ],
            }
            for place, documents in zip(places, preview.rows, strict=True)
        ],
    }
