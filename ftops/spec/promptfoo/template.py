"""The templates of promptfoo (Nunjucks), as far as they only put variables in their places.

Variables in double braces and `raw` blocks are understood; filters, expressions and other blocks
are not, and are told by a `ValueError`.
"""

import re
from collections.abc import Mapping

_RAW = re.compile(r"\{%-?\s*raw\s*-?%\}(.*?)\{%-?\s*endraw\s*-?%\}", re.DOTALL)
_VARIABLE = re.compile(r"\{\{-?\s*([A-Za-z_][\w.]*)\s*-?\}\}")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_OPENING = re.compile(r"\{\{|\{%|\{#")
_SPECIAL = re.compile(r"\{\{|\{%|\{#|\}\}|%\}|#\}")
_LOADING = ("file://", "package:")  # a value that begins so is taken for the place of one
_DEPTH = 5  # values may themselves hold variables


def render_template(template: str, values: Mapping[str, str], depth: int = _DEPTH) -> str:
    """The text of a template; ValueError says what of it is not understood here."""
    rendered, at = [], 0
    for block in _RAW.finditer(template):
        rendered.append(_fill(template[at : block.start()], values, depth))
        rendered.append(block[1])
        at = block.end()
    rendered.append(_fill(template[at:], values, depth))
    return "".join(rendered)


def shield(text: str) -> str:
    """A template that gives `text` and nothing else; ValueError where there is none."""
    if not _SPECIAL.search(text) and not text.startswith(_LOADING) and not text.endswith("\n"):
        return text
    if "endraw" in text:
        raise ValueError("it holds the word 'endraw', which ends a text that is no template")
    return f"{{% raw %}}{text}{{% endraw %}}"


def names(text: str, variable: str) -> bool:
    """Whether promptfoo would put the value of that variable into the text, raw or not."""
    return re.search(r"\{\{\s*" + re.escape(variable) + r"\s*\}\}", text) is not None


def _fill(text: str, values: Mapping[str, str], depth: int) -> str:
    text = _COMMENT.sub("", text)
    parts = _VARIABLE.split(text)  # text, name, text, name, …
    for place in range(0, len(parts), 2):
        if opened := _OPENING.search(parts[place]):
            shown = parts[place][opened.start() :][:30]
            raise ValueError(f"{shown!r} is more than a variable in double braces")
    for place in range(1, len(parts), 2):
        name = parts[place]
        if name not in values:
            raise ValueError(f"no test gives the variable {name!r}")
        value = values[name]
        parts[place] = render_template(value, values, depth - 1) if depth else value
    return "".join(parts)
