"""Variables and secrets in the values of a job file."""

from pathlib import Path

import pytest

from ftops.spec.secret import list_secrets, mask_secrets
from tests.spec.job_files import MINIMAL, get_first_lines, get_load_error, load_text

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


def test_variables_and_defaults_are_expanded(tmp_path: Path) -> None:
    text = MINIMAL + (
        'suffix: "${WHO}-${TAG:-v1}"\nseed: ${SEED:-5}\nvalidation_file: $${x}/${EMPTY:-v}.jsonl\n'
        'metadata: {quoted: "${SEED:-5}", spaced: "${A:-b c}"}\n'
    )
    spec = load_text(tmp_path, text, environ={"WHO": "ann", "EMPTY": ""}).spec
    assert spec.suffix == "ann-v1"
    assert spec.seed == 5
    assert spec.validation_file == "${x}/v.jsonl"
    assert spec.metadata == {"quoted": "5", "spaced": "b c"}


def test_a_value_from_the_environment_is_not_parsed_as_yaml(tmp_path: Path) -> None:
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
        ("x${", "'${' starts a malformed variable"),
        ("'${1A}'", "'${' starts a malformed variable"),
        ("'${A:?}'", "'${' starts a malformed variable"),
        ("${CTRL}", "the value contains the control character U+0007"),
        ("${BYTES}", "the value contains the control character U+DCFF"),
    ],
)
def test_a_variable_that_cannot_be_expanded_is_reported_with_its_place(
    tmp_path: Path, value: str, reason: str
) -> None:
    environ = {"CTRL": "a\x07", "BYTES": "\udcff"}
    text = f"{MINIMAL}suffix: {value}\n"
    assert get_first_lines(get_load_error(tmp_path, text, environ=environ)) == [
        f"job.yaml:5:9: {reason}"
    ]


def test_a_variable_with_a_similar_name_is_suggested(tmp_path: Path) -> None:
    message = get_load_error(tmp_path, MINIMAL + "suffix: ${SUFIX}\n", environ={"SUFFIX": "a"})
    assert "did you mean ${SUFFIX}?" in message


def test_the_value_of_a_variable_is_not_shown(tmp_path: Path) -> None:
    message = get_load_error(tmp_path, MINIMAL + "seed: ${SEED}\n", environ={"SEED": "hunter2"})
    assert "seed must be a whole number from 0 to 2147483647, not the value of '${SEED}'" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "line",
    ["suffix: {}", "suffix: '{}'", "# {}", "metadata: {{a: '{}'}}", "'{}': a", "nonsense: '{}'"],
)
def test_a_secret_anywhere_is_refused_with_its_place_and_not_shown(
    tmp_path: Path, secret: str, line: str
) -> None:
    message = get_load_error(tmp_path, f"{MINIMAL}{line.format(secret)}\n")
    assert "job.yaml:5:" in message
    assert "this looks like a secret" in message
    start, end = list_secrets(secret)[0]
    assert secret[start:end] not in message


def test_a_secret_in_escapes_or_variables_is_found(tmp_path: Path) -> None:
    secret = SECRETS[0]
    escaped = "".join(f"\\x{ord(character):02x}" for character in secret)
    message = get_load_error(tmp_path, f'{MINIMAL}suffix: "{escaped}"\n')
    assert "job.yaml:5:9: this looks like a secret" in message
    assert escaped not in message
    message = get_load_error(tmp_path, MINIMAL + "suffix: ${KEY}\n", environ={"KEY": secret})
    assert "job.yaml:5:9: the value of '${KEY}' looks like a secret" in message
    assert secret not in message


@pytest.mark.parametrize("line", ["api_key: hunter2", "metadata: {token: [hunter2], c: 4}"])
def test_the_value_of_a_field_for_secrets_is_not_shown(tmp_path: Path, line: str) -> None:
    message = get_load_error(tmp_path, f"{MINIMAL}{line}\n")
    assert line.partition(":")[0] in message
    assert "hunter2" not in message


def test_a_key_in_api_key_env_is_not_shown(tmp_path: Path) -> None:
    key = "d41d8cd98f00b204e9800998ecf8427e"
    text = MINIMAL.replace("local", f"{{type: openai, api_key_env: {key}}}")
    message = get_load_error(tmp_path, text)
    assert "api_key_env must be the name of an environment variable" in message
    assert key not in message


@pytest.mark.parametrize(
    "word", ["sk-learn", "sk-news-topics-2024", "task-list-for-a-long-day-2024", "hf_hub", "AKIA"]
)
def test_words_that_only_start_like_a_secret_are_accepted(word: str) -> None:
    assert mask_secrets(word) == word


def test_an_override_replaces_adds_and_creates_sections(tmp_path: Path) -> None:
    spec = load_text(
        tmp_path,
        MINIMAL + "seed: 1\nlimits:\n",
        overrides=[
            "seed=7",
            "hyperparameters.n_epochs=4",
            "hyperparameters.batch_size=8",
            "limits.max_wait=2d",
            "metadata={team: search, a: b}",
            "suffix=one",
            "suffix=two",
        ],
    ).spec
    assert (spec.seed, spec.suffix) == (7, "two")
    assert (spec.hyperparameters.n_epochs, spec.hyperparameters.batch_size) == (4, 8)
    assert spec.limits.max_wait_s == 172_800
    assert spec.metadata == {"team": "search", "a": "b"}


def test_an_empty_override_removes_a_value(tmp_path: Path) -> None:
    assert load_text(tmp_path, MINIMAL + "suffix: a\n", overrides=["suffix="]).spec.suffix is None


def test_an_override_replaces_an_invalid_value(tmp_path: Path) -> None:
    text = MINIMAL + "seed: wrong\n"
    assert load_text(tmp_path, text, overrides=["seed=3"]).spec.seed == 3


def test_an_override_reads_variables_and_quotes_as_the_file_does(tmp_path: Path) -> None:
    overrides = ["seed=${SEED}", "suffix='${SEED}'"]
    spec = load_text(tmp_path, MINIMAL, environ={"SEED": "12"}, overrides=overrides).spec
    assert (spec.seed, spec.suffix) == (12, "12")


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("hyperparameters.n_epochs=three", 'n_epochs must be "auto" or a whole number'),
        ("hyperparameters.n_epoch=3", "unknown key 'n_epoch' under hyperparameters"),
        ("nothing.at.all=3", "unknown key 'nothing'"),
        ("model.size=3", "model is a single value in the job file, so it has no 'size'"),
        ("suffix=[", "not valid YAML"),
        ("suffix=*a", "aliases are not allowed"),
        ("suffix=a\x1bb", "the value contains the control character U+001B"),
        ("suffix=\udcff", "the value contains the control character U+DCFF"),
        ("suffix", "an override is key=value"),
        ("=3", "an override is key=value"),
        ("a..b=3", "an override is key=value"),
        (".".join("a" * 5000) + "=1", "an override is key=value"),
    ],
)
def test_the_error_about_an_invalid_override_names_it(
    tmp_path: Path, override: str, reason: str
) -> None:
    problems = get_first_lines(get_load_error(tmp_path, MINIMAL, overrides=[override]))
    assert len(problems) == 1
    assert problems[0].startswith("--set ")
    assert reason in problems[0]


def test_problems_of_overrides_follow_those_of_the_file(tmp_path: Path) -> None:
    text = MINIMAL + "seed: -1\n"
    overrides = ["suffix=3", "hyperparameters.n_epochs=0"]
    first, second, third = get_first_lines(get_load_error(tmp_path, text, overrides=overrides))
    assert first.startswith("job.yaml:5:7")
    assert second.startswith("--set suffix=3: suffix must be text")
    assert third.startswith("--set hyperparameters.n_epochs=0: n_epochs must be")


def test_a_secret_in_an_override_is_refused_and_not_shown(tmp_path: Path) -> None:
    secret = "sk-abcdefghij0123456789ABCD"
    for override in (f"suffix={secret}", f"provider.api_key={secret}", "provider.api_key=hunter2"):
        message = get_load_error(
            tmp_path, MINIMAL.replace("local", "{type: openai}"), overrides=[override]
        )
        assert secret not in message
        assert "hunter2" not in message
