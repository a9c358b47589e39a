"""Imports a promptfoo configuration as rows and a section `evaluate`.

Each prompt is combined with each test, as in promptfoo. Tests are in the configuration, or in YAML,
JSON, JSON Lines or CSV files. Items without an equivalent are skipped and reported with their
lines.
"""

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ftops.errors import SpecError
from ftops.records import Json
from ftops.spec.problem import ProblemReport, SourceText, Span, quoted
from ftops.spec.promptfoo_assertion import (
    Assertion,
    has_answer,
    list_common,
    make_metrics,
    read_asserts,
)
from ftops.spec.promptfoo_file import (
    WHAT,
    SkippedItem,
    SkippedItems,
    get_entries,
    iterate,
    load_tree,
    render_template,
    skip_unknown_keys,
    to_text,
    to_value,
)
from ftops.spec.yaml_reader import (
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    parse_yaml,
    read_source,
    render_value,
)

ROWS = "rows.jsonl"
SECTION = "evaluate.yaml"
ANY_ANSWER = "(any answer)"  # a row needs a completion; no metric uses this one
_KNOWN_PROMPT_KEYS = frozenset({"id", "label", "raw", "description"})
_KNOWN_TEST_KEYS = frozenset({"vars", "assert", "description"})
_EXPECTED = re.compile(r"__expected\d*")
_TYPED = re.compile(
    r"(?P<type>(?:not-)?(?:equals|i?contains(?:-any|-all)?|starts-with|regex|is-json|llm-rubric"
    r"|javascript|python|contains-json|similar|grade|fn))\s*(?:\([^)]*\))?\s*(?::|$)\s*",
)
_OLD_NAMES = {"grade": "llm-rubric", "fn": "javascript"}
_TRIMS = "output.trim()"  # ftops trims every prediction
_MAX_COMBINATIONS = 10_000
_KNOWN = frozenset({"prompts", "providers", "targets", "tests", "defaultTest", "description",
                    "$schema"})  # fmt: skip
_PROVIDER = re.compile(r"openai:(?:(?P<kind>chat|completion):)?(?P<model>.+)")
_OTHER_KINDS = ("responses", "assistant", "embedding", "embeddings", "moderation", "realtime",
                "image")  # fmt: skip
_ROLES = frozenset({"system", "user", "assistant"})
_SPLIT = re.compile(r"^---\s*$", re.MULTILINE)  # between the prompts of a text file


@dataclass(frozen=True, slots=True)
class PromptfooTest:
    """A test: a combination of variables, and its assertions."""

    values: Mapping[str, str]
    asserts: tuple[Node, ...] = ()
    node: Node | None = field(default=None, repr=False)


Case = tuple[PromptfooTest, Sequence[Assertion]]


@dataclass(frozen=True, slots=True)
class ImportedEvaluation:
    """The result of an import; `unanswered` tests have no expected output."""

    rows: tuple[Mapping[str, Json], ...]
    section: Mapping[str, Json]
    skipped: tuple[SkippedItem, ...]
    unanswered: int

    def render_rows(self) -> str:
        """The rows as JSON lines."""
        return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in self.rows)

    def render_section(self) -> str:
        """The section `evaluate` of a job file."""
        lines = ["# For a job file: the evaluation data, the candidates and the metrics.",
                 "evaluate:"]  # fmt: skip
        for name, value in self.section.items():
            if isinstance(value, list):
                lines += [f"  {name}:", *(f"    - {_scalar(item)}" for item in value)]
            else:
                lines.append(f"  {name}: {_scalar(value)}")
        return "\n".join(lines) + "\n"


def read_promptfoo(path: Path, *, allow_outside: bool = False) -> ImportedEvaluation:
    """Import the configuration at `path`; SpecError if it is invalid or gives no rows.

    Files that it names must be inside its folder, unless `allow_outside` is set.
    """
    skipped = SkippedItems(allow_outside=allow_outside)
    root = load_tree(path)
    if not isinstance(root, MappingNode):
        raise SpecError(f"{path}: a promptfoo configuration is a mapping of prompts and tests")
    entries = get_entries(root)
    skip_unknown_keys(entries, _KNOWN, "", skipped)
    prompts = list(_read_prompts(entries.get("prompts"), path.parent, skipped))
    tests = read_tests(entries.get("tests"), entries.get("defaultTest"), path.parent, skipped)
    against, most_tokens = _read_providers(
        entries.get("providers", entries.get("targets")), skipped
    )
    grader = _get_grader(entries.get("defaultTest"))
    cases: list[Case] = [
        (test, list(read_asserts(_list_asserts(test), test.values, grader, skipped)))
        for test in tests
    ]
    cases = _choose_measurable(cases, skipped)
    rows = [
        row
        for node, prompt in prompts
        for test, assertions in cases
        if (
            row := _make_row(
                node, prompt, test, _choose_completion(test, assertions, skipped), skipped
            )
        )
        is not None
    ]
    if not rows:
        raise SpecError(
            f"{path}: no prompt and test can be imported",
            hint="\n".join(map(str, skipped.items)) or "It names neither prompts nor tests.",
        )
    section: dict[str, Json] = {"file": ROWS}
    if against:
        section["against"] = against
    if metrics := make_metrics([assertions for _, assertions in cases], skipped):
        section["metrics"] = metrics
    if most_tokens:
        section["max_tokens"] = most_tokens
    unanswered = sum(not has_answer(assertions) for _, assertions in cases)
    items = sorted(skipped.items, key=lambda item: (item.file != str(path), item.file, item.line))
    return ImportedEvaluation(_unify_format(rows), section, tuple(items), unanswered)


def _choose_measurable(cases: Sequence[Case], skipped: SkippedItems) -> list[Case]:
    """The tests that a metric can score.

    These are all tests, or those with an expected output if the tests have no assertion in common.
    """
    if list_common([assertions for _, assertions in cases]):
        return list(cases)
    for test, assertions in cases:
        if not has_answer(assertions) and test.node is not None:
            reason = "it has no expected output, and no assertion that all tests have"
            skipped.add(test.node, "a test", reason)
    return [(test, assertions) for test, assertions in cases if has_answer(assertions)]


def _choose_completion(
    test: PromptfooTest, assertions: Sequence[Assertion], skipped: SkippedItems
) -> str:
    answers = list(dict.fromkeys(item.value for item in assertions if item.kind == "equals"))
    if len(answers) > 1 and test.node is not None:
        skipped.add(
            test.node, "a test", f"it has {len(answers)} expected outputs; the first is used"
        )
    return answers[0] if answers else ANY_ANSWER


def _unify_format(rows: Sequence[Mapping[str, Json]]) -> tuple[Mapping[str, Json], ...]:
    """Rows of one format: if there are chats, a text becomes a chat with one message."""
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


def _list_asserts(test: PromptfooTest) -> Node | None:
    return SequenceNode(test.asserts[0].span, list(test.asserts)) if test.asserts else None


def _read_prompts(
    node: Node | None, folder: Path, skipped: SkippedItems
) -> Iterator[tuple[Node, str]]:
    """Each prompt as a template."""
    if isinstance(node, MappingNode):
        skipped.add(node, "prompts", "a mapping of prompts is not supported: list them")
        return
    for item in iterate(node):
        text = to_text(item)
        if isinstance(item, MappingNode):
            entries = get_entries(item)
            skip_unknown_keys(entries, _KNOWN_PROMPT_KEYS, "a prompt's ", skipped)
            raw = to_text(entries.get("raw"))
            text = to_text(entries.get("id")) if raw is None else None
            if raw is not None:
                yield item, raw
                continue
        if text is None:
            skipped.add(item, "a prompt", "it is no text")
        elif text.startswith("file://") or _is_path(text, folder):
            yield from ((item, prompt) for prompt in _read_prompt_file(item, text, folder, skipped))
        else:
            yield item, text


def _is_path(text: str, folder: Path) -> bool:
    try:
        return "\n" not in text and "{{" not in text and (folder / text).is_file()
    except (OSError, ValueError):
        return False


def _read_prompt_file(node: Node, text: str, folder: Path, skipped: SkippedItems) -> list[str]:
    path = folder / text.removeprefix("file://")
    if path.suffix not in (".txt", ".json", ".md"):
        skipped.add(
            node, f"the prompt {quoted(text)}", "only .txt, .md and .json files are supported"
        )
        return []
    if skipped.skip_if_outside(node, f"the prompt {quoted(text)}", path, folder):
        return []
    if not path.is_file():
        skipped.add(node, f"the prompt {quoted(text)}", "there is no such file")
        return []
    content = read_source(path, "prompt").text
    if path.suffix == ".json":
        return [content]
    return [part.strip() for part in _SPLIT.split(content) if part.strip()]


def _read_providers(node: Node | None, skipped: SkippedItems) -> tuple[list[Json], int]:
    """Candidates, and the maximum length of their answers (0 if none is set)."""
    against: list[Json] = []
    most = 0
    for item in iterate(node):
        entries = get_entries(item)
        name = to_text(entries.get("id")) if entries else to_text(item)
        match = _PROVIDER.fullmatch(name or "")
        if match is None or match["model"].split(":")[0] in _OTHER_KINDS:
            reason = "ftops supports openai:chat:…, openai:completion:… and openai:… only"
            skipped.add(item, f"the provider {quoted(name or '')}", reason)
            continue
        skip_unknown_keys(entries, frozenset({"id", "label", "config"}), "a provider's ", skipped)
        settings, tokens = _read_config(entries.get("config"), skipped)
        most = max(most, tokens)
        model: dict[str, Json] = {"name": match["model"]}
        if settings:
            model["provider"] = {"type": "openai", **settings}
        against.append({"model": model if settings else match["model"]})
    return against, most


def _read_config(node: Node | None, skipped: SkippedItems) -> tuple[dict[str, Json], int]:
    names = {"apiBaseUrl": "base_url", "apiKeyEnvar": "api_key_env", "organization": "organization"}
    settings: dict[str, Json] = {}
    tokens = 0
    for name, value in get_entries(node).items():
        plain = to_value(value)
        if name == "apiKey":
            reason = "keys are not allowed in files: name the variable with `api_key_env`"
            skipped.add(value, "apiKey", reason)
        elif name in names and isinstance(plain, str) and "{{" not in plain:
            settings[names[name]] = plain
        elif name in ("max_tokens", "max_completion_tokens") and isinstance(plain, int):
            tokens = plain
        elif not (name == "temperature" and plain in (0, 0.0)):
            reason = "predictions use temperature 0 and the settings of the run"
            skipped.add(value, f"a provider's {quoted(name)}", reason)
    return settings, tokens


def _get_grader(default: Node | None) -> str:
    provider = get_entries(get_entries(default).get("options")).get("provider")
    return to_text(provider) or ""


def _make_row(
    node: Node, prompt: str, test: PromptfooTest, answer: str, skipped: SkippedItems
) -> Mapping[str, Json] | None:
    try:
        rendered = _render_prompt(prompt, test.values)
    except ValueError as error:
        skipped.add(node, "a prompt", str(error))
        return None
    if isinstance(rendered, str):
        return {"prompt": rendered, "completion": answer}
    return {"messages": [*rendered, {"role": "assistant", "content": answer}]}


def _render_prompt(prompt: str, values: Mapping[str, str]) -> str | list[Json]:
    """A text, or the messages of a chat if the prompt is JSON with messages."""
    inside = _find_messages(read_json(prompt))
    if inside is not None:  # each variable is filled into a separate JSON string
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
    for message in value:
        if not isinstance(message, dict):
            return None
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES or not isinstance(content, str):
            return None
        messages.append((str(role), content))
    return messages


def _scalar(value: Json) -> str:
    """The value as YAML in which `${` is literal."""
    return render_value(value).replace("${", "$${")


def read_tests(
    node: Node | None, default: Node | None, folder: Path, skipped: SkippedItems
) -> list[PromptfooTest]:
    """All tests, each extended by `default`."""
    defaults = get_entries(default)
    if default is not None and not isinstance(default, MappingNode):
        skipped.add(default, "defaultTest", "only a mapping in the file itself is supported")
    skip_unknown_keys(defaults, _KNOWN_TEST_KEYS | {"options"}, "defaultTest ", skipped)
    for name, option in get_entries(defaults.get("options")).items():
        trims = name == "transform" and to_text(option) == _TRIMS
        if name != "provider" and not trims:  # the grader is read elsewhere
            skipped.add(option, f"the option {quoted(name)}", "ftops has no counterpart")
    tests: list[PromptfooTest] = []
    for item in iterate(node):
        for test in _expand(item, folder, skipped):
            tests += _read_test(test, defaults, skipped)
    return tests


def _expand(node: Node, folder: Path, skipped: SkippedItems) -> Iterator[Node]:
    """The tests of a node: the node itself, or the tests in the file that it names."""
    text = to_text(node)
    if text is None:
        yield node
        return
    path = folder / text.removeprefix("file://")
    if skipped.skip_if_outside(node, f"tests {quoted(text)}", path, folder):
        return
    if not path.is_file():
        skipped.add(
            node, f"tests {quoted(text)}", "there is no such file next to the configuration"
        )
    elif path.suffix in (".yaml", ".yml", ".json"):
        yield from iterate(load_tree(path))
    elif path.suffix == ".jsonl":
        yield from _read_lines(path)
    elif path.suffix == ".csv":
        yield from _read_table(path, skipped)
    else:
        skipped.add(
            node, f"tests {quoted(text)}", "only YAML, JSON, JSON Lines and CSV are supported"
        )


def _read_lines(path: Path) -> Iterator[Node]:
    """Each line of a file as a test. JSON is YAML, so the YAML reader finds the locations."""
    name, report = str(path), ProblemReport()
    for number, line in enumerate(read_source(path, WHAT).text.split("\n")):
        if not line.strip():
            continue
        # Preceding line ends keep the line number correct.
        node = parse_yaml(SourceText(name, "\n" * number + line), report, WHAT + "s")
        if report.problems:
            raise report.error()
        if node is not None:
            yield node


def _read_table(path: Path, skipped: SkippedItems) -> Iterator[Node]:
    """Each row of a table as a test: columns are variables, `__expected` columns are assertions."""
    source = read_source(path, WHAT)
    reader = csv.DictReader(io.StringIO(source.text, newline=""), strict=True)
    starts = [0, *itertools.accumulate(len(line) for line in source.text.splitlines(True))]
    try:
        for row in reader:
            start = starts[min(reader.line_num, len(starts) - 1) - 1]
            span = Span(source, start, start + 1)
            yield _read_row({name or "": value or "" for name, value in row.items()}, span, skipped)
    except csv.Error as error:
        raise SpecError(f"{path}:{reader.line_num}: not CSV: {error}") from error


def _read_row(row: Mapping[str, str], span: Span, skipped: SkippedItems) -> Node:
    def scalar(text: str) -> Node:
        return ScalarNode(text, plain=False, span=span)

    values = MappingNode(span)
    asserts = SequenceNode(span)
    for name, value in row.items():
        if _EXPECTED.fullmatch(name):
            if value.strip():
                kind, text = _read_expected(value)
                entries = {"type": (span, scalar(kind)), "value": (span, scalar(text))}
                asserts.items.append(MappingNode(span, entries))
        elif name.startswith("__") and name != "__description":
            skipped.add_at(
                span.source.name, 1, f"the column {quoted(name)}", "ftops has no counterpart"
            )
        elif name != "__description":
            values.entries[name] = (span, scalar(value))
    return MappingNode(span, {"vars": (span, values), "assert": (span, asserts)})


def _read_expected(text: str) -> tuple[str, str]:
    match = _TYPED.match(text)
    if match is None:
        return "equals", text
    kind = match["type"]
    return _OLD_NAMES.get(kind, kind), text[match.end() :]


def _read_test(
    node: Node, defaults: Mapping[str, Node], skipped: SkippedItems
) -> Iterator[PromptfooTest]:
    if not isinstance(node, MappingNode):
        skipped.add(node, "a test", "it is no mapping")
        return
    entries = get_entries(node)
    skip_unknown_keys(entries, _KNOWN_TEST_KEYS, "a test's ", skipped)
    choices = {
        **_read_choices(defaults.get("vars"), skipped),
        **_read_choices(entries.get("vars"), skipped),
    }
    asserts = (*iterate(defaults.get("assert")), *iterate(entries.get("assert")))
    for number, chosen in enumerate(itertools.product(*choices.values())):
        if number == _MAX_COMBINATIONS:
            skipped.add(node, "combinations of variables", f"only the first {number:,} are used")
            return
        yield PromptfooTest(dict(zip(choices, chosen, strict=True)), asserts, node)


def _read_choices(node: Node | None, skipped: SkippedItems) -> dict[str, list[str]]:
    """The values of each variable; a list gives one test per value."""
    if node is not None and not isinstance(node, MappingNode):
        skipped.add(node, "vars", "only a mapping of variables is supported")
    choices: dict[str, list[str]] = {}
    for name, value in get_entries(node).items():
        texts = []
        for item in value.items if isinstance(value, SequenceNode) else [value]:
            text = to_text(item)
            if text is None or text.startswith(("file://", "package:")):
                skipped.add(item, f"the variable {quoted(name)}", "its value is not plain text")
            else:
                texts.append(text)
        if texts:
            choices[name] = texts
    return choices


def read_json(text: str) -> object:
    """The value of a JSON text; None for other texts."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
