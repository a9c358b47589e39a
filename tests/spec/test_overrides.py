"""`--set key.path=value`."""

from pathlib import Path

import pytest

from tests.spec.job_files import MINIMAL, heads, load_text, refusal


def test_an_override_replaces_adds_and_makes_sections(tmp_path: Path) -> None:
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


def test_an_empty_override_takes_a_value_away(tmp_path: Path) -> None:
    assert load_text(tmp_path, MINIMAL + "suffix: a\n", overrides=["suffix="]).spec.suffix is None


def test_an_override_mends_a_wrong_value(tmp_path: Path) -> None:
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
        ("suffix=a\x1bb", "the value holds the control character U+001B"),
        ("suffix=\udcff", "the value holds the control character U+DCFF"),
        ("suffix", "an override is key=value"),
        ("=3", "an override is key=value"),
        ("a..b=3", "an override is key=value"),
        (".".join("a" * 5000) + "=1", "an override is key=value"),
    ],
)
def test_a_wrong_override_is_named_in_its_problem(
    tmp_path: Path, override: str, reason: str
) -> None:
    problems = heads(refusal(tmp_path, MINIMAL, overrides=[override]))
    assert len(problems) == 1
    assert problems[0].startswith("--set ")
    assert reason in problems[0]


def test_problems_of_overrides_follow_those_of_the_file(tmp_path: Path) -> None:
    text = MINIMAL + "seed: -1\n"
    overrides = ["suffix=3", "hyperparameters.n_epochs=0"]
    first, second, third = heads(refusal(tmp_path, text, overrides=overrides))
    assert first.startswith("job.yaml:5:7")
    assert second.startswith("--set suffix=3: suffix must be text")
    assert third.startswith("--set hyperparameters.n_epochs=0: n_epochs must be")


def test_a_secret_in_an_override_is_refused_and_not_shown(tmp_path: Path) -> None:
    secret = "sk-abcdefghij0123456789ABCD"
    for override in (f"suffix={secret}", f"provider.api_key={secret}", "provider.api_key=hunter2"):
        message = refusal(
            tmp_path, MINIMAL.replace("local", "{type: openai}"), overrides=[override]
        )
        assert secret not in message
        assert "hunter2" not in message
