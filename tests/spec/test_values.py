"""Variables and secrets in the values of a job file."""

from pathlib import Path

import pytest

from ftops.spec.secrets import find_secrets, mask_secrets
from tests.spec.job_files import MINIMAL, heads, load_text, refusal

SECRETS = [
    "sk-abcdefghij0123456789ABCD",
    "sk-proj-abcDEF123_456-xyzXYZ7890",
    "sk-test12345",
    "hf_abcdefghijklmnopqrstuvwx",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "https://user:hunter2@host/v1",
    "-----BEGIN RSA PRIVATE KEY-----",
]


def test_variables_and_defaults_are_filled_in(tmp_path: Path) -> None:
    text = MINIMAL + (
        'suffix: "${WHO}-${TAG:-v1}"\nseed: ${SEED:-5}\nvalidation_file: $${x}/${EMPTY:-v}.jsonl\n'
        'metadata: {quoted: "${SEED:-5}", spaced: "${A:-b c}"}\n'
    )
    spec = load_text(tmp_path, text, environ={"WHO": "ann", "EMPTY": ""}).spec
    assert spec.suffix == "ann-v1"
    assert spec.seed == 5
    assert spec.validation_file == "${x}/v.jsonl"
    assert spec.metadata == {"quoted": "5", "spaced": "b c"}


def test_a_value_out_of_the_environment_is_a_value_and_no_yaml(tmp_path: Path) -> None:
    environ = {"EVIL": "a\nseed: 3", "LIST": "[1, 2]"}
    spec = load_text(
        tmp_path, MINIMAL + "suffix: ${EVIL}\nmetadata: {a: '${LIST}'}\n", environ=environ
    ).spec
    assert spec.suffix == "a\nseed: 3"
    assert spec.seed is None
    assert spec.metadata["a"] == "[1, 2]"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("${NOPE}", "the environment variable NOPE is not set"),
        ("x${", "'${' begins a variable that is not well written"),
        ("'${1A}'", "'${' begins a variable that is not well written"),
        ("'${A:?}'", "'${' begins a variable that is not well written"),
        ("${CTRL}", "the value holds the control character U+0007"),
        ("${BYTES}", "the value holds the control character U+DCFF"),
    ],
)
def test_a_variable_that_cannot_be_filled_in_is_told_with_its_place(
    tmp_path: Path, value: str, reason: str
) -> None:
    environ = {"CTRL": "a\x07", "BYTES": "\udcff"}
    text = f"{MINIMAL}suffix: {value}\n"
    assert heads(refusal(tmp_path, text, environ=environ)) == [f"job.yaml:5:9: {reason}"]


def test_a_variable_nearly_of_that_name_is_offered(tmp_path: Path) -> None:
    message = refusal(tmp_path, MINIMAL + "suffix: ${SUFIX}\n", environ={"SUFFIX": "a"})
    assert "did you mean ${SUFFIX}?" in message


def test_what_a_variable_holds_is_not_shown(tmp_path: Path) -> None:
    message = refusal(tmp_path, MINIMAL + "seed: ${SEED}\n", environ={"SEED": "hunter2"})
    assert "seed must be a whole number from 0 to 2147483647, not what '${SEED}' gives" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "line",
    ["suffix: {}", "suffix: '{}'", "# {}", "metadata: {{a: '{}'}}", "'{}': a", "nonsense: '{}'"],
)
def test_a_secret_anywhere_is_refused_with_its_place_and_not_shown(
    tmp_path: Path, secret: str, line: str
) -> None:
    message = refusal(tmp_path, f"{MINIMAL}{line.format(secret)}\n")
    assert "job.yaml:5:" in message
    assert "this looks like a secret" in message
    start, end = find_secrets(secret)[0]
    assert secret[start:end] not in message


def test_a_secret_is_found_behind_escapes_and_variables(tmp_path: Path) -> None:
    secret = SECRETS[0]
    escaped = "".join(f"\\x{ord(character):02x}" for character in secret)
    message = refusal(tmp_path, f'{MINIMAL}suffix: "{escaped}"\n')
    assert "job.yaml:5:9: this looks like a secret" in message
    assert escaped not in message
    message = refusal(tmp_path, MINIMAL + "suffix: ${KEY}\n", environ={"KEY": secret})
    assert "job.yaml:5:9: what '${KEY}' gives looks like a secret" in message
    assert secret not in message


@pytest.mark.parametrize("line", ["api_key: hunter2", "metadata: {token: [hunter2], c: 4}"])
def test_the_value_of_a_field_for_secrets_is_not_shown(tmp_path: Path, line: str) -> None:
    message = refusal(tmp_path, f"{MINIMAL}{line}\n")
    assert line.partition(":")[0] in message
    assert "hunter2" not in message


def test_a_key_where_its_variable_belongs_is_not_shown(tmp_path: Path) -> None:
    key = "d41d8cd98f00b204e9800998ecf8427e"
    text = MINIMAL.replace("local", f"{{type: openai, api_key_env: {key}}}")
    message = refusal(tmp_path, text)
    assert "api_key_env must be the name of an environment variable" in message
    assert key not in message


@pytest.mark.parametrize(
    "word", ["sk-learn", "sk-news-topics-2024", "task-list-for-a-long-day-2024", "hf_hub", "AKIA"]
)
def test_words_that_only_begin_like_a_secret_are_taken(word: str) -> None:
    assert mask_secrets(word) == word
