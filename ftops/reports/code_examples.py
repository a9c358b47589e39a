"""Renders code that sends prompts to a fine-tuned model: Python, curl and Node.

Texts of the data become quoted literals of the language. The code reads the key from an environment
variable.
"""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ftops.records import RowFormat

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Language(StrEnum):
    """The language of the code."""

    PYTHON = "python"  # with the `openai` package
    CURL = "curl"  # for a POSIX shell
    NODE = "node"  # Node 18 or later, without packages


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """The format of requests to a model.

    If `base_url` is None, the code reads address and key from `OPENAI_BASE_URL` and `key_env`,
    which the shell command `set_up` sets. `separator` follows the prompt; `labels` maps answers to
    labels. `notes` become comments.
    """

    model: str
    row_format: RowFormat
    prompt: str
    key_env: str = "OPENAI_API_KEY"
    base_url: str | None = None
    set_up: str = ""
    separator: str = ""
    stop: str | None = None
    system: str | None = None
    max_tokens: int = 64
    labels: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_chat(self) -> bool:
        """Whether requests use the chat format."""
        return self.row_format is not RowFormat.COMPLETION

    @property
    def path(self) -> str:
        """The path of the endpoint, relative to the base URL."""
        return "chat/completions" if self.is_chat else "completions"


def render_code(usage: ModelUsage, language: Language) -> str:
    """A complete program that prints the answer (with curl: the JSON response)."""
    return _RENDERERS[language](usage)


def quote_json(text: str) -> str:
    """A JSON and JavaScript literal with escaped invisible characters."""
    return _quote(text, _escape_in_utf16)


def quote_python(text: str) -> str:
    """A Python literal."""
    return _quote(text, _escape_in_python)


def _quote(text: str, escape: Callable[[str], str]) -> str:
    # JSON's own escapes have the same meaning in Python and in JavaScript.
    plain = json.dumps(text, ensure_ascii=False)
    return "".join(one if one.isprintable() else escape(one) for one in plain)


def _escape_in_utf16(character: str) -> str:
    return json.dumps(character)[1:-1]


def _escape_in_python(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _list_comments(usage: ModelUsage) -> list[str]:
    """The comments of the code; line breaks, which would end a comment, become spaces."""
    lines = []
    if usage.set_up:
        lines.append(f"First, in the same shell: {usage.set_up}")
    else:
        lines.append(f"The key is read from the environment variable {usage.key_env}.")
    lines += usage.notes
    return ["".join(one if one.isprintable() else " " for one in line) for line in lines]


def _render_python(usage: ModelUsage) -> str:
    quote = quote_python
    lines = [f"# {line}" for line in ("pip install openai", *_list_comments(usage))]
    lines += ["import os", "", "from openai import OpenAI", ""]
    address = 'os.environ["OPENAI_BASE_URL"]' if usage.base_url is None else quote(usage.base_url)
    lines += ["client = OpenAI(", f"    base_url={address},"]
    lines += [f"    api_key=os.environ[{quote(usage.key_env)}],"]
    if usage.headers:
        given = ", ".join(f"{quote(name)}: {quote(value)}" for name, value in usage.headers.items())
        lines.append(f"    default_headers={{{given}}},")
    lines += [")", f"prompt = {quote(usage.prompt)}", ""]
    lines += _ask_in_python(usage)
    if usage.labels:
        lines += ["labels = {"]
        lines += [f"    {quote(said)}: {quote(label)}," for said, label in usage.labels.items()]
        lines += ["}", "print(labels.get(text, text))"]
    else:
        lines += ["print(text)"]
    return "\n".join(lines) + "\n"


def _ask_in_python(usage: ModelUsage) -> list[str]:
    quote = quote_python
    call = "client.chat.completions.create" if usage.is_chat else "client.completions.create"
    lines = [f"answer = {call}(", f"    model={quote(usage.model)},"]
    if usage.is_chat:
        lines.append("    messages=[")
        if usage.system:
            lines.append(f'        {{"role": "system", "content": {quote(usage.system)}}},')
        lines += ['        {"role": "user", "content": prompt},', "    ],"]
    else:
        ending = f" + {quote(usage.separator)}" if usage.separator else ""
        lines.append(f"    prompt=prompt{ending},")
    lines += [f"    max_tokens={usage.max_tokens},", "    temperature=0,"]
    if usage.stop:
        lines.append(f"    stop=[{quote(usage.stop)}],")
    said = "message.content" if usage.is_chat else "text"
    return [*lines, ")", f'text = (answer.choices[0].{said} or "").strip()']


def _render_curl(usage: ModelUsage) -> str:
    lines = [f"# {line}" for line in _list_comments(usage)]
    if usage.labels:
        lines.append("# What the answers stand for:")
        lines += [
            f"#   {quote_json(said)}: {quote_json(label)}" for said, label in usage.labels.items()
        ]
    if usage.base_url is None:
        address = f'"$OPENAI_BASE_URL/{usage.path}"'
    else:
        address = shlex.quote(f"{usage.base_url}/{usage.path}")
    key = f"${usage.key_env}" if _IDENTIFIER.fullmatch(usage.key_env) else _print_variable(usage)
    lines += [
        f"curl --silent --show-error --fail-with-body {address} \\",
        f'  -H "Authorization: Bearer {key}" \\',
        "  -H 'Content-Type: application/json' \\",
    ]
    lines += [f"  -H {shlex.quote(f'{name}: {v}')} \\" for name, v in usage.headers.items()]
    return "\n".join([*lines, f"  -d {_quote_in_shell(_render_body(usage))}"]) + "\n"


def _print_variable(usage: ModelUsage) -> str:
    """A command for a variable whose name is not valid in the shell."""
    return f"$(printenv -- {shlex.quote(usage.key_env)})"


def _render_body(usage: ModelUsage) -> str:
    quote = quote_json
    lines = [f'"model": {quote(usage.model)}']
    if usage.is_chat:
        messages = [("system", usage.system)] if usage.system else []
        rendered = [
            f'{{"role": "{role}", "content": {quote(content or "")}}}'
            for role, content in [*messages, ("user", usage.prompt)]
        ]
        lines.append('"messages": [\n      ' + ",\n      ".join(rendered) + "\n    ]")
    else:
        lines.append(f'"prompt": {quote(usage.prompt + usage.separator)}')
    lines += [f'"max_tokens": {usage.max_tokens}', '"temperature": 0']
    if usage.stop:
        lines.append(f'"stop": [{quote(usage.stop)}]')
    return "{\n    " + ",\n    ".join(lines) + "\n  }"


def _quote_in_shell(text: str) -> str:
    """The text in single quotes; inner quotes become \\', more readable than with shlex."""
    return "'" + text.replace("'", "'\\''") + "'"


def _render_node(usage: ModelUsage) -> str:
    quote = quote_json
    comments = ("Node 18 or later; no package is needed.", *_list_comments(usage))
    lines = [f"// {line}" for line in comments]
    if usage.base_url is None:
        address = f"process.env.OPENAI_BASE_URL + {quote('/' + usage.path)}"
    else:
        address = quote(f"{usage.base_url}/{usage.path}")
    lines += [
        f"const prompt = {quote(usage.prompt)};",
        "",
        "async function main() {",
        f"  const response = await fetch({address}, {{",
        '    method: "POST",',
        "    headers: {",
        '      "Content-Type": "application/json",',
        f'      Authorization: "Bearer " + {_read_variable(usage.key_env)},',
        *(f"      {quote(name)}: {quote(value)}," for name, value in usage.headers.items()),
        "    },",
        "    body: JSON.stringify({",
        *(f"      {line}" for line in _render_fields_of_node(usage)),
        "    }),",
        "  });",
        "  const answer = await response.json();",
        "  if (!response.ok) throw new Error(JSON.stringify(answer));",
        f'  const text = (answer.choices[0].{_said(usage)} ?? "").trim();',
    ]
    if usage.labels:
        lines += ["  const labels = new Map(["]
        lines += [f"    [{quote(said)}, {quote(name)}]," for said, name in usage.labels.items()]
        lines += ["  ]);", "  console.log(labels.get(text) ?? text);"]
    else:
        lines += ["  console.log(text);"]
    return "\n".join([*lines, "}", "", "main();"]) + "\n"


def _render_fields_of_node(usage: ModelUsage) -> list[str]:
    quote = quote_json
    lines = [f"model: {quote(usage.model)},"]
    if usage.is_chat:
        system = f'  {{ role: "system", content: {quote(usage.system or "")} }},'
        lines += ["messages: [", *([system] if usage.system else [])]
        lines += ['  { role: "user", content: prompt },', "],"]
    else:
        ending = f" + {quote(usage.separator)}" if usage.separator else ""
        lines.append(f"prompt: prompt{ending},")
    lines += [f"max_tokens: {usage.max_tokens},", "temperature: 0,"]
    if usage.stop:
        lines.append(f"stop: [{quote(usage.stop)}],")
    return lines


def _read_variable(name: str) -> str:
    """The Node expression for an environment variable."""
    plain = _IDENTIFIER.fullmatch(name)
    return f"process.env.{name}" if plain else f"process.env[{quote_json(name)}]"


def _said(usage: ModelUsage) -> str:
    return "message.content" if usage.is_chat else "text"


_RENDERERS: Mapping[Language, Callable[[ModelUsage], str]] = {
    Language.PYTHON: _render_python,
    Language.CURL: _render_curl,
    Language.NODE: _render_node,
}
