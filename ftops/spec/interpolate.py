"""`${VAR}` and `${VAR:-default}` in the values of a job file; `$${` stands for a literal `${`.

The environment is handed in. As in a shell, the default also replaces an empty variable.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ftops.text import find_nearest

_PIECE = re.compile(
    r"""\$\$\{                                   # an escaped opening
      | \$\{ (?P<name>[A-Za-z_][A-Za-z0-9_]*)
             (?: :- (?P<default>[^}]*) )? \}     # a variable
      | (?P<bad>\$\{)                            # an opening that leads nowhere
    """,
    re.VERBOSE,
)


class Uninterpolated(Exception):
    """The text cannot be filled in; the message says why, `suggestion` what to do."""

    def __init__(self, message: str, suggestion: str) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Filled:
    """A text with its variables replaced; `changed` when there were any.

    `names` are the variables whose values were taken from the environment, each once.
    """

    text: str
    changed: bool
    names: tuple[str, ...] = ()


def interpolate(text: str, environ: Mapping[str, str]) -> Filled:
    """Replace the variables in `text`; Uninterpolated when one is not set or not well written."""
    if "${" not in text:
        return Filled(text, changed=False)
    changed = False
    names: dict[str, None] = {}

    def value(match: re.Match[str]) -> str:
        nonlocal changed
        if match["bad"]:
            raise Uninterpolated(
                "'${' begins a variable that is not well written",
                "write ${NAME} or ${NAME:-default}, or $${ for a literal ${",
            )
        if match["name"] is None:
            return "${"
        changed = True
        if environ.get(match["name"]):
            names[match["name"]] = None
        return _lookup(match["name"], match["default"], environ)

    filled = _PIECE.sub(value, text)
    return Filled(filled, changed, tuple(names))


def _lookup(name: str, default: str | None, environ: Mapping[str, str]) -> str:
    found = environ.get(name)
    if default is not None:
        return found or default
    if found is None:
        near = find_nearest(name, environ, strict=True)
        meant = f"did you mean ${{{near}}}? Or " if near else ""
        raise Uninterpolated(
            f"the environment variable {name} is not set",
            f"{meant}write ${{{name}:-…}} to give a default",
        )
    return found
