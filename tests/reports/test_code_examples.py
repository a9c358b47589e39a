"""Code examples for a model: valid in their language for any data, and without a key."""

import ast
import json
import shlex
import shutil
import subprocess
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftops.records import RowFormat
from ftops.reports.code_examples import Language, ModelUsage, quote_json, quote_python, render_code

# Characters with a meaning in a shell, YAML or a template, and ordinary ones.
ODD = st.sampled_from(
    list("'\"\\`$!{}#\n\r\t\0\x1b\x7f\x85\u2028\u202e\ud800\U0001f600\U000e0001é")
)
TEXTS = st.text(ODD | st.characters(codec=None), max_size=24)
NODE = shutil.which("node")
USAGE = ModelUsage(
    model="ft:ada:local:small:a1b2c3d4",
    row_format=RowFormat.COMPLETION,
    prompt="What is it?",
    base_url="https://server.example/v1",
    separator=" ->",
    stop="\n",
)
CHAT = replace(USAGE, row_format=RowFormat.CHAT, separator="", system="Be brief.")


def read_curl(code: str) -> tuple[str, dict[str, object]]:
    """The address and the body that a shell passes to curl."""
    words = shlex.split(code, comments=True)
    assert words[0] == "curl"
    body = json.loads(words[words.index("-d") + 1])
    return next(word for word in words if word.startswith("http")), body


def read_python(code: str) -> dict[str, object]:
    """The literals that the program passes to the call that creates the completion."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    create_call = next(call for call in calls if "create" in ast.unparse(call.func))
    arguments: dict[str, object] = {}
    for keyword in create_call.keywords:
        value = keyword.value
        ending = value.right if isinstance(value, ast.BinOp) else value
        if not isinstance(ending, ast.Name) and keyword.arg != "messages":
            arguments[str(keyword.arg)] = ast.literal_eval(ending)
    return arguments


@given(TEXTS)
def test_any_text_is_read_back_from_its_literal(text: str) -> None:
    assert ast.literal_eval(quote_python(text)) == text
    assert json.loads(quote_json(text)) == text
    assert quote_python(text).isprintable()
    assert quote_json(text).isprintable()


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(TEXTS, min_size=20, max_size=60))
def test_node_reads_the_same_text_from_its_literal(texts: list[str]) -> None:
    program = f"const all = [{', '.join(map(quote_json, texts))}];\n"
    program += (
        "console.log(JSON.stringify(all.map((t) => t.split('').map((c) => c.charCodeAt(0)))))"
    )
    done = subprocess.run([str(NODE)], input=program, capture_output=True, text=True, check=True)
    units = [
        list(memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H")) for text in texts
    ]
    assert json.loads(done.stdout) == units


@given(TEXTS, TEXTS, TEXTS)
def test_separator_stop_and_prompt_are_sent_unchanged(
    prompt: str, separator: str, stop: str
) -> None:
    usage = replace(USAGE, prompt=prompt, separator=separator, stop=stop or None)
    address, body = read_curl(render_code(usage, Language.CURL))
    assert address == "https://server.example/v1/completions"
    assert body["prompt"] == prompt + separator
    assert body.get("stop") == ([stop] if stop else None)
    literals = read_python(render_code(usage, Language.PYTHON))
    assert literals.get("prompt", "") == separator
    assert literals.get("stop") == ([stop] if stop else None)


@given(TEXTS, TEXTS)
def test_labels_and_notes_cannot_end_their_literal(text: str, label: str) -> None:
    usage = replace(USAGE, labels={text: label}, notes=(f"{text} {label}",))
    _, body = read_curl(render_code(usage, Language.CURL))
    assert body["model"] == USAGE.model
    code = render_code(usage, Language.PYTHON)
    dict_node = next(node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Dict))
    assert ast.literal_eval(dict_node) == {text: label}


def test_a_chat_has_its_system_message_and_no_separator() -> None:
    address, body = read_curl(render_code(CHAT, Language.CURL))
    assert address.endswith("/v1/chat/completions")
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is it?"},
    ]
    for language in (Language.PYTHON, Language.NODE):
        assert '"Be brief."' in render_code(CHAT, language)


@pytest.mark.parametrize("language", list(Language))
def test_the_code_reads_its_key_from_the_variable_of_the_provider(language: Language) -> None:
    code = render_code(replace(USAGE, key_env="OTHER_KEY"), language)
    assert "OTHER_KEY" in code
    assert "OPENAI_API_KEY" not in code


@pytest.mark.parametrize("language", list(Language))
def test_the_code_for_the_engine_names_the_command_for_its_address(language: Language) -> None:
    usage = replace(USAGE, base_url=None, set_up='eval "$(ftops engine env)"')
    code = render_code(usage, language)
    assert 'eval "$(ftops engine env)"' in code.splitlines()[1 if language != "curl" else 0]
    assert "OPENAI_BASE_URL" in code


@pytest.mark.parametrize("language", list(Language))
def test_the_request_has_a_note_about_its_cost(language: Language) -> None:
    code = render_code(replace(USAGE, headers={"OpenAI-Project": "proj-1"}), language)
    assert "OpenAI-Project" in code
    assert "proj-1" in code


def test_a_variable_with_a_name_invalid_in_shells_is_read() -> None:
    code = render_code(replace(USAGE, key_env="a-b"), Language.CURL)
    assert "$(printenv -- a-b)" in code
    assert 'process.env["a-b"]' in render_code(replace(USAGE, key_env="a-b"), Language.NODE)
