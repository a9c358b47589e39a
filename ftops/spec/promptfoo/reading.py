"""Makes rows and a section `evaluate` of a promptfoo configuration.

Every prompt meets every test, as it does there. Whatever has no counterpart here is told by its
name and its line.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ftops.errors import SpecError
from ftops.records import Json
from ftops.spec.problems import quoted
from ftops.spec.promptfoo.asserts import (
    Expectation,
    find_common,
    has_answer,
    make_metrics,
    read_asserts,
)
from ftops.spec.promptfoo.cases import FoundTest, read_json, read_tests
from ftops.spec.promptfoo.scalars import render_value
from ftops.spec.promptfoo.template import render_template
from ftops.spec.promptfoo.tree import (
    Leftover,
    Leftovers,
    get_entries,
    iterate,
    load_tree,
    note_unknown,
    to_text,
    to_value,
)
from ftops.spec.reader import Entries, Items, Node, read_source

ROWS = "rows.jsonl"
SECTION = "evaluate.yaml"
ANY_ANSWER = "(any answer)"  # a row needs one; no metric looks at it then
Case = tuple[FoundTest, Sequence[Expectation]]
_KNOWN = frozenset({"prompts", "providers", "targets", "tests", "defaultTest", "description",
                    "$schema"})  # fmt: skip
_PROVIDER = re.compile(r"openai:(?:(?P<kind>chat|completion):)?(?P<model>.+)")
_OTHER_KINDS = ("responses", "assistant", "embedding", "embeddings", "moderation", "realtime",
                "image")  # fmt: skip
_ROLES = frozenset({"system", "user", "assistant"})
_SPLIT = re.compile(r"^---\s*$", re.MULTILINE)  # what parts the prompts of a text file


@dataclass(frozen=True, slots=True)
class Imported:
    """What a configuration became; `unanswered` tests expect no answer word for word."""

    rows: tuple[Mapping[str, Json], ...]
    section: Mapping[str, Json]
    leftovers: tuple[Leftover, ...]
    unanswered: int

    def render_rows(self) -> str:
        """The rows as JSON lines."""
        return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in self.rows)

    def render_section(self) -> str:
        """The section as a part of a job file."""
        lines = ["# For a job file: what its model is measured on, and what it is compared with.",
                 "evaluate:"]  # fmt: skip
        for name, value in self.section.items():
            if isinstance(value, list):
                lines += [f"  {name}:", *(f"    - {_scalar(item)}" for item in value)]
            else:
                lines.append(f"  {name}: {_scalar(value)}")
        return "\n".join(lines) + "\n"


def read_promptfoo(path: Path, *, allow_outside: bool = False) -> Imported:
    """What the configuration at `path` becomes; SpecError when it is none, or has no rows.

    Files that it names are read in its folder and below, others only with `allow_outside`.
    """
    left = Leftovers(allow_outside=allow_outside)
    root = load_tree(path)
    if not isinstance(root, Entries):
        raise SpecError(f"{path}: a promptfoo configuration is a mapping of prompts and tests")
    entries = get_entries(root)
    note_unknown(entries, _KNOWN, "", left)
    prompts = list(_read_prompts(entries.get("prompts"), path.parent, left))
    tests = read_tests(entries.get("tests"), entries.get("defaultTest"), path.parent, left)
    against, most_tokens = _read_providers(entries.get("providers", entries.get("targets")), left)
    grader = _find_grader(entries.get("defaultTest"))
    cases: list[Case] = [
        (one, list(read_asserts(_list_asserts(one), one.values, grader, left))) for one in tests
    ]
    cases = _choose_measurable(cases, left)
    rows = [
        row
        for node, prompt in prompts
        for test, found in cases
        if (row := _make_row(node, prompt, test, _find_answer(test, found, left), left)) is not None
    ]
    if not rows:
        raise SpecError(
            f"{path}: no prompt and test could be carried over",
            hint="\n".join(map(str, left.found)) or "It names neither prompts nor tests.",
        )
    section: dict[str, Json] = {"file": ROWS}
    if against:
        section["against"] = against
    if metrics := make_metrics([found for _, found in cases], left):
        section["metrics"] = metrics
    if most_tokens:
        section["max_tokens"] = most_tokens
    unanswered = sum(not has_answer(found) for _, found in cases)
    leftovers = sorted(left.found, key=lambda one: (one.file != str(path), one.file, one.line))
    return Imported(_make_alike(rows), section, tuple(leftovers), unanswered)


def _choose_measurable(cases: Sequence[Case], left: Leftovers) -> list[Case]:
    """The tests of which something can be measured: all, or those that expect an answer word for
    word where all tests have nothing else in common."""
    if find_common([found for _, found in cases]):
        return list(cases)
    for test, found in cases:
        if not has_answer(found) and test.node is not None:
            why = "it expects no answer word for word, and nothing that all tests expect"
            left.add(test.node, "a test", why)
    return [(test, found) for test, found in cases if has_answer(found)]


def _find_answer(test: FoundTest, found: Sequence[Expectation], left: Leftovers) -> str:
    answers = list(dict.fromkeys(one.value for one in found if one.kind == "equals"))
    if len(answers) > 1 and test.node is not None:
        left.add(
            test.node, "a test", f"it expects {len(answers)} answers, of which the first is taken"
        )
    return answers[0] if answers else ANY_ANSWER


def _make_alike(rows: Sequence[Mapping[str, Json]]) -> tuple[Mapping[str, Json], ...]:
    """Rows of one shape: beside chats, a text is a chat of one message."""
    if all("prompt" in row for row in rows):
        return tuple(rows)
    return tuple(
        row if "messages" in row else _make_chat(row["prompt"], row["completion"]) for row in rows
    )


def _make_chat(prompt: Json, answer: Json) -> Mapping[str, Json]:
    return {
        "messages": [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": answer},
        ]
    }


def _list_asserts(test: FoundTest) -> Node | None:
    """The assertions of a test as one list."""
    return Items(test.asserts[0].span, list(test.asserts)) if test.asserts else None


def _read_prompts(node: Node | None, folder: Path, left: Leftovers) -> Iterator[tuple[Node, str]]:
    """Each prompt as a template."""
    if isinstance(node, Entries):
        left.add(node, "prompts", "prompts under labels of their own are not read: list them")
        return
    for item in iterate(node):
        text = to_text(item)
        if isinstance(item, Entries):
            entries = get_entries(item)
            note_unknown(entries, frozenset({"id", "label", "raw", "description"}), "a prompt's ",
                         left)  # fmt: skip
            raw = to_text(entries.get("raw"))
            text = to_text(entries.get("id")) if raw is None else None
            if raw is not None:
                yield item, raw
                continue
        if text is None:
            left.add(item, "a prompt", "it is no text")
        elif text.startswith("file://") or _is_path(text, folder):
            yield from ((item, one) for one in _read_prompt_file(item, text, folder, left))
        else:
            yield item, text


def _is_path(text: str, folder: Path) -> bool:
    try:
        return "\n" not in text and "{{" not in text and (folder / text).is_file()
    except (OSError, ValueError):
        return False


def _read_prompt_file(node: Node, text: str, folder: Path, left: Leftovers) -> list[str]:
    path = folder / text.removeprefix("file://")
    if path.suffix not in (".txt", ".json", ".md"):
        left.add(node, f"the prompt {quoted(text)}", "only .txt, .md and .json files are read")
        return []
    if left.refuses_path(node, f"the prompt {quoted(text)}", path, folder):
        return []
    if not path.is_file():
        left.add(node, f"the prompt {quoted(text)}", "there is no such file")
        return []
    content = read_source(path, "prompt").text
    if path.suffix == ".json":
        return [content]
    return [part.strip() for part in _SPLIT.split(content) if part.strip()]


def _read_providers(node: Node | None, left: Leftovers) -> tuple[list[Json], int]:
    """Candidates, and the longest answer that any of them may give (0: none says)."""
    against: list[Json] = []
    most = 0
    for item in iterate(node):
        entries = get_entries(item)
        name = to_text(entries.get("id")) if entries else to_text(item)
        found = _PROVIDER.fullmatch(name or "")
        if found is None or found["model"].split(":")[0] in _OTHER_KINDS:
            left.add(item, f"the provider {quoted(name or '')}", "only openai:chat:…,"
                     " openai:completion:… and openai:… are asked by ftops")  # fmt: skip
            continue
        note_unknown(entries, frozenset({"id", "label", "config"}), "a provider's ", left)
        settings, tokens = _read_config(entries.get("config"), left)
        most = max(most, tokens)
        model: dict[str, Json] = {"name": found["model"]}
        if settings:
            model["provider"] = {"type": "openai", **settings}
        against.append({"model": model if settings else found["model"]})
    return against, most


def _read_config(node: Node | None, left: Leftovers) -> tuple[dict[str, Json], int]:
    names = {"apiBaseUrl": "base_url", "apiKeyEnvar": "api_key_env", "organization": "organization"}
    settings: dict[str, Json] = {}
    tokens = 0
    for name, value in get_entries(node).items():
        plain = to_value(value)
        if name == "apiKey":
            left.add(value, "apiKey", "a key never stands in a file: name its variable by"
                     " `api_key_env`")  # fmt: skip
        elif name in names and isinstance(plain, str) and "{{" not in plain:
            settings[names[name]] = plain
        elif name in ("max_tokens", "max_completion_tokens") and isinstance(plain, int):
            tokens = plain
        elif not (name == "temperature" and plain in (0, 0.0)):
            left.add(value, f"a provider's {quoted(name)}", "answers are measured with temperature"
                     " 0 and what the run itself says")  # fmt: skip
    return settings, tokens


def _find_grader(default: Node | None) -> str:
    provider = get_entries(get_entries(default).get("options")).get("provider")
    return to_text(provider) or ""


def _make_row(
    node: Node, prompt: str, test: FoundTest, answer: str, left: Leftovers
) -> Mapping[str, Json] | None:
    try:
        rendered = _render_prompt(prompt, test.values)
    except ValueError as error:
        left.add(node, "a prompt", str(error))
        return None
    if isinstance(rendered, str):
        return {"prompt": rendered, "completion": answer}
    return {"messages": [*rendered, {"role": "assistant", "content": answer}]}


def _render_prompt(prompt: str, values: Mapping[str, str]) -> str | list[Json]:
    """A text, or the messages of a chat where the prompt is JSON that holds them."""
    inside = _find_messages(read_json(prompt))
    if inside is not None:  # variables stand inside JSON: each is put into its string
        return [
            {"role": role, "content": render_template(content, values)} for role, content in inside
        ]
    text = render_template(prompt, values)
    messages = _find_messages(read_json(text))
    if messages is None:
        return text
    return [{"role": role, "content": content} for role, content in messages]


def _find_messages(value: object) -> Sequence[tuple[str, str]] | None:
    if not isinstance(value, list) or not value:
        return None
    messages = []
    for one in value:
        role, content = (one.get("role"), one.get("content")) if isinstance(one, dict) else (0, 0)
        if role not in _ROLES or not isinstance(content, str):
            return None
        messages.append((str(role), content))
    return messages


def _scalar(value: Json) -> str:
    """As YAML; `${` would be filled in from the environment."""
    return render_value(value).replace("${", "$${")
