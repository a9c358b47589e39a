"""`--set key.path=value`: changes a job file's tree before anything is validated.

The value is read as YAML by the same reader as the file, so `--set seed=7`, `--set metadata={a: b}`
and `--set suffix=` (nothing: null) mean what they mean in the file. The last one for a key wins.
"""

from collections.abc import Sequence

from ftops.spec.problems import Report, Source, Span
from ftops.spec.reader import Broken, Entries, Items, Node, Scalar, find_control, read_tree
from ftops.spec.secrets import is_secret_field, mask_secrets
from ftops.spec.values import report_secrets

_MAX_KEYS = 8


def apply_overrides(root: Entries, overrides: Sequence[str], report: Report) -> None:
    """Put the overrides into the tree `root`; those that cannot be read become problems."""
    for text in overrides:
        _apply(root, text, report)


def _apply(root: Entries, text: str, report: Report) -> None:
    key_path, separator, value_text = text.partition("=")
    keys = [key.strip() for key in key_path.split(".")]
    shown = f"{key_path}{separator}***" if is_secret_field(keys[-1]) else text
    source = Source(f"--set {_printable(mask_secrets(shown))}", value_text, override=True)
    span = Span(source, 0, len(value_text))
    if not separator or not all(keys) or len(keys) > _MAX_KEYS:
        report.add(span, "an override is key=value or section.key=value")
        return
    before = len(report.problems)
    report_secrets(source, report)
    at = find_control(value_text)
    if at is not None:
        report.add(span, f"the value holds the control character U+{ord(value_text[at]):04X}")
    if len(report.problems) > before:
        _put(root, keys, Broken(span), report)
        return
    node = read_tree(source, report)
    if node is None:
        node = Broken(span) if len(report.problems) > before else Scalar("", True, span)
    _put(root, keys, node, report)


def _put(root: Entries, keys: list[str], node: Node, report: Report) -> None:
    """Hang `node` at the path `keys`, making the mappings on the way."""
    here = root
    for depth, key in enumerate(keys[:-1], start=1):
        key_span, child = here.entries.get(key, (node.span, None))
        if child is None or (isinstance(child, Scalar) and child.plain and child.text == ""):
            child = Entries(node.span)
            here.entries[key] = (key_span, child)
        if not isinstance(child, Entries):
            kind = "a list" if isinstance(child, Items) else "a single value"
            if not isinstance(child, Broken):
                where = ".".join(keys[:depth])
                message = f"{where} is {kind} in the job file, so it has no {keys[depth]!r}"
                report.add(node.span, message, f"set {where} as a whole")
            return
        here = child
    here.entries[keys[-1]] = (node.span, node)


def _printable(text: str) -> str:
    """`text` as one line that a terminal shows as it is, cut after 80 characters."""
    line = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return line if len(line) <= 80 else line[:79] + "…"
