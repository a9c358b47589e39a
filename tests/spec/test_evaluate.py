"""The section `evaluate`: its lists, their errors, and the equivalent options."""

import re
from pathlib import Path

import pytest

from ftops.errors import SpecError, UsageError
from ftops.metrics.registry import METRICS, MetricChoice
from ftops.metrics.requirement import parse_requirement
from ftops.providers.registry import PROVIDERS
from ftops.records import Json
from ftops.spec.evaluate import (
    BaseCandidate,
    EvaluateSpec,
    FewShotCandidate,
    KeepSpec,
    OtherModel,
    list_evaluation_errors,
    read_evaluation_options,
)
from ftops.spec.job_file import load_job
from ftops.spec.metrics import METRIC_TYPES, JudgeMetric, to_choice
from ftops.spec.model import JobSpec
from tests.spec.job_files import MINIMAL, get_load_error, load_text, write_job


def read(folder: Path, *lines: str) -> JobSpec:
    section = "".join(f"  {line}\n" for line in lines)
    return load_text(folder, f"{MINIMAL}evaluate:\n{section}").spec


def read_error(folder: Path, *lines: str) -> str:
    with pytest.raises(SpecError) as caught:
        read(folder, *lines)
    return caught.value.message


def test_the_free_baseline_is_the_default_candidate(tmp_path: Path) -> None:
    spec = load_text(tmp_path, MINIMAL).spec
    assert [entry.word for entry in spec.evaluate.candidates] == ["baseline"]


def test_candidates_are_names_or_mappings(tmp_path: Path) -> None:
    spec = read(
        tmp_path,
        "against: [base, few-shot: 5, baseline, previous, checkpoints, model: gpt-6-luna]",
    )
    candidates = spec.evaluate.candidates
    words = ["base", "few-shot", "baseline", "previous", "checkpoints", "model"]
    assert [entry.word for entry in candidates] == words
    assert candidates[1].settings == FewShotCandidate(examples=5)
    assert candidates[5].settings == OtherModel(name="gpt-6-luna")


def test_a_few_shot_candidate_has_a_selection_and_a_seed(tmp_path: Path) -> None:
    spec = read(tmp_path, "against:", "  - few-shot: {examples: 3, selection: nearest, seed: 7}")
    (candidate,) = spec.evaluate.candidates
    assert candidate.settings == FewShotCandidate(examples=3, selection="nearest", seed=7)


def test_a_model_may_be_at_another_provider(tmp_path: Path) -> None:
    spec = read(
        tmp_path,
        "against:",
        "  - model: {name: m, provider: {type: openai, base_url: 'https://host/v1/'}}",
    )
    (candidate,) = spec.evaluate.candidates
    assert isinstance(candidate.settings, OtherModel)
    assert candidate.settings.settings is not None
    assert candidate.settings.settings.base_url == "https://host/v1"


def test_metrics_are_names_or_mappings(tmp_path: Path) -> None:
    spec = read(tmp_path, "metrics: [f1, regex: 'a+', judge: {model: m, mode: grade}]")
    entries = spec.evaluate.metric_entries
    assert [entry.word for entry in entries] == ["f1", "regex", "judge"]
    assert to_choice(entries[1]) == MetricChoice("regex", {"pattern": "a+"})
    assert entries[2].settings == JudgeMetric(model="m", mode="grade")


def test_exact_match_can_normalize_as_squad_does(tmp_path: Path) -> None:
    spec = read(tmp_path, "metrics: [exact_match: squad]")
    (entry,) = spec.evaluate.metric_entries
    assert to_choice(entry) == MetricChoice("exact_match", {"normalize": "squad"})
    with pytest.raises(SpecError, match="normalize must be none or squad, not 'all'"):
        read(tmp_path, "metrics: [exact_match: all]")


def test_the_section_round_trips_through_json(tmp_path: Path) -> None:
    spec = read(
        tmp_path,
        "against: [base, few-shot: {examples: 5}]",
        "metrics: [judge: {model: m}]",
        "require: {accuracy: '>= 0.85', accuracy_over_few_shot: '> 0.03'}",
    )
    loaded = JobSpec.from_json(spec.to_json())
    assert loaded == spec
    assert loaded.evaluate.candidates == spec.evaluate.candidates
    assert loaded.evaluate.requirements["accuracy"] == ">= 0.85"


def test_the_section_is_not_part_of_the_canonical_spec(tmp_path: Path) -> None:
    assert read(tmp_path, "against: [base]").canonical() == read(tmp_path, "seed: 3").canonical()


@pytest.mark.parametrize(
    ("line", "place", "message"),
    [
        ("against: [bas]", "6:13", "unknown name 'bas'"),
        ("against: [few-shot]", "6:13", "few-shot needs settings"),
        ("against: [few-shot: 0]", "6:23", "examples must be a whole number from 1 to 100, not 0"),
        ("against: [few-shot: {example: 5}]", "6:24", "unknown key 'example'"),
        ("against: [few-shot: {seed: 5}]", "6:13", "few-shot lacks examples"),
        ("against: [baseline: 3]", "6:23", "baseline takes no settings"),
        (
            "against: [{base: null, model: x}]",
            "6:26",
            "an item has one name, and 'model' is a second one",
        ),
        ("against: [3]", "6:13", "expected a name or `name: …`, not 3"),
        ("against: base", "6:12", "against must be a list of at most 32 candidates, not 'base'"),
        ("metrics: [acuracy]", "6:13", "unknown name 'acuracy'"),
        ("metrics: [regex: '(']", "6:20", "pattern must be a regular expression of Python"),
        ("metrics: [python: check]", "6:21", "function must be a file and a function"),
        ("metrics: [judge: m]", "6:20", "judge must be a mapping of model"),
        ("require: {f1: 0.8}", "6:17", 'f1 must be a comparison such as ">= 0.85"'),
        ("overlap: alow", "6:12", "overlap must be refuse or allow, not 'alow'"),
        ("concurrency: 0", "6:16", "concurrency must be a whole number from 1 to 200, not 0"),
    ],
)
def test_a_mistake_is_reported_with_its_place(
    tmp_path: Path, line: str, place: str, message: str
) -> None:
    error = read_error(tmp_path, line)
    assert f":{place}: {message}" in error


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("against: [checkpoint]", "did you mean 'checkpoints'?"),
        ("against: [few-shot: {examples: 5, selection: near}]", "did you mean 'nearest'?"),
        ("against: [few-shot: {example: 5}]", "did you mean 'examples'?"),
        ("metrics: [acuracy]", "did you mean 'accuracy'?"),
        ("require: {f1: 0.8}", 'write ">= 0.8"'),
        ("agains: [base]", "did you mean 'against'?"),
    ],
)
def test_a_mistake_is_reported_with_a_suggestion(
    tmp_path: Path, line: str, suggestion: str
) -> None:
    assert suggestion in read_error(tmp_path, line)


def test_every_mistake_in_a_list_is_reported_at_once(tmp_path: Path) -> None:
    error = read_error(tmp_path, "against: [bas, few-shot: no, 7]")
    assert error.count("a.yaml:6:") + error.count("job.yaml:6:") == 3


def test_an_unknown_provider_is_reported_at_its_place(tmp_path: Path) -> None:
    against = "against: [model: {name: m, provider: opnai}]"
    metrics = "metrics: [judge: {model: m, provider: {type: x}}]"
    path = write_job(tmp_path, f"{MINIMAL}evaluate:\n  {against}\n  {metrics}\n")
    with pytest.raises(SpecError) as caught:
        load_job(path, environ={}, providers=PROVIDERS)
    assert ":6:40: unknown provider 'opnai'" in caught.value.message
    assert "did you mean 'openai'?" in caught.value.message
    assert ":7:48: unknown provider 'x'" in caught.value.message


def _list_errors(section: Json) -> list[tuple[object, ...]]:
    return [
        (error.path[-1], error.message, error.suggestion)
        for error in list_evaluation_errors(section)
    ]


def test_an_unknown_metric_in_a_requirement_is_reported() -> None:
    errors = _list_errors({"require": {"acuracy": "> 0", "p50_s": "< 1", "rouge_l": "> 0"}})
    assert errors == [("acuracy", "unknown metric 'acuracy'", "did you mean 'accuracy'?")]
    ((_, message, suggestion),) = _list_errors({"require": {"regex": "> 0"}})
    assert message == "unknown metric 'regex'"
    assert "accuracy" in str(suggestion)


def test_requirements_use_the_given_names_of_metrics() -> None:
    metrics: Json = [
        {"regex": {"pattern": "^A", "name": "letter"}},
        {"judge": {"model": "m", "question": "?"}},
        {"judge": {"model": "n", "question": "?"}},
    ]
    names: Json = dict.fromkeys(["letter", "judge", "judge_2", "letter_over_majority"], "> 0")
    assert _list_errors({"metrics": metrics, "require": names}) == []
    assert (
        len(_list_errors({"metrics": metrics, "require": {"judge_3": "> 0", "regex": "> 0"}})) == 2
    )


def test_a_difference_to_an_unknown_candidate_is_reported() -> None:
    against: Json = ["base", {"few-shot": 5}, {"model": "gpt-6 luna"}, "checkpoints"]
    valid = ("base", "few_shot", "model", "gpt_6_luna", "step_10", "base_2")
    requirements: Json = {f"f1_over_{name}": "> 0" for name in valid}
    assert _list_errors({"against": against, "require": requirements}) == []
    ((name, message, suggestion),) = _list_errors({"require": {"f1_over_base": "> 0"}})
    assert (name, message) == ("f1_over_base", "unknown candidate 'base'")
    assert suggestion == "`against` lists: naive_bayes, nearest_neighbour, regex_template, majority"


@pytest.mark.parametrize("invalid", [{"against": "base"}, {"metrics": ["nonsense"]}])
def test_requirements_on_an_invalid_list_are_not_checked(
    invalid: dict[str, Json],
) -> None:
    errors = _list_errors({**invalid, "require": {"anything": "> 0"}})
    assert all("unknown metric" not in str(error[1]) for error in errors)


def test_the_example_in_the_documentation_is_valid(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "job-file.md"
    (example,) = re.findall(r"```yaml\n(evaluate:.*?)```", page.read_text("utf-8"), re.DOTALL)
    spec = load_text(tmp_path, MINIMAL + example).spec
    words = [entry.word for entry in spec.evaluate.candidates]
    assert words == ["base", "few-shot", "few-shot", "model", "baseline"]
    assert [entry.word for entry in spec.evaluate.metric_entries] == ["accuracy", "f1", "judge"]


def test_instructions_must_not_be_empty(tmp_path: Path) -> None:
    spec = read(tmp_path, "against: [base: {instructions: Answer with a number.}]")
    (base,) = spec.evaluate.candidates
    assert base.settings == BaseCandidate(instructions="Answer with a number.")
    message = read_error(tmp_path, "against: [base: {instructions: ''}]")
    assert "instructions must be text of 1 to 20000 characters" in message


def read_options(
    against: tuple[str, ...] = (), metrics: tuple[str, ...] = (), require: tuple[str, ...] = ()
) -> EvaluateSpec:
    return read_evaluation_options(against, metrics, require, environ={})


def test_options_are_equivalent_to_the_section() -> None:
    spec = read_options(
        ("base", "few-shot: {examples: 3, selection: nearest}", "model: gpt-6-luna"),
        ("f1", 'regex: "^[AB]$"'),
        ("accuracy >= 0.85", "f1_over_base > 3%"),
    )
    assert [entry.word for entry in spec.candidates] == ["base", "few-shot", "model"]
    assert spec.candidates[1].settings == FewShotCandidate(examples=3, selection="nearest")
    assert [entry.word for entry in spec.metric_entries] == ["f1", "regex"]
    assert spec.requirements == {"accuracy": ">= 0.85", "f1_over_base": "> 3%"}


def test_the_space_after_a_colon_is_optional() -> None:
    tight = read_options(("few-shot:3", "few-shot=4", "model:ft:ada:x"), ("regex:^[0-9]+:$",))
    spaced = read_options(
        ("few-shot: 3", "few-shot: 4", "model: ft:ada:x"), ('regex: "^[0-9]+:$"',)
    )
    assert (tight.candidates, tight.metric_entries) == (spaced.candidates, spaced.metric_entries)


def test_without_options_the_defaults_apply() -> None:
    assert read_options() == EvaluateSpec()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"against": ("bas",)}, "--against 'bas': unknown name 'bas'"),
        ({"against": ("base", "few-shot")}, "--against 'few-shot': few-shot needs settings"),
        ({"metrics": ("acuracy",)}, "--metric 'acuracy': unknown name"),
        ({"require": ("accuracy",)}, "--require 'accuracy': a requirement compares"),
        ({"require": ("accuracy >= good",)}, "--require accuracy: accuracy must be a comparison"),
    ],
)
def test_an_error_names_its_option(options: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_options(**options)
    assert message in caught.value.message


def test_the_section_has_every_metric_with_its_settings() -> None:
    assert set(METRIC_TYPES) == {*METRICS, "judge"}
    for name, metric in METRICS.items():
        section = METRIC_TYPES[name].section
        fields = set(section.model_fields if section else ()) - {"name"}
        assert {setting.name for setting in metric.settings} == fields
        assert METRIC_TYPES[name].alone is not metric.needs_settings


@pytest.mark.parametrize(
    "text", ["${A}", "few-shot: ${A}", 'few-shot: {examples: 2, selection: "${A}"}']
)
def test_a_value_from_the_environment_is_not_shown(tmp_path: Path, text: str) -> None:
    environ = {"A": "hunter2-is-my-password"}
    job = f"{MINIMAL}evaluate:\n  against:\n    - {text}\n"
    message = get_load_error(tmp_path, job, environ=environ)
    assert "the value of '${A}'" in message and "hunter2" not in message
    with pytest.raises(UsageError) as info:
        read_evaluation_options([text], [], [], environ=environ)
    assert "the value of '${A}'" in info.value.message
    assert "hunter2" not in info.value.message + info.value.hint


def test_rows_to_keep_have_a_largest_drop_and_slices_have_requirements(tmp_path: Path) -> None:
    spec = read(
        tmp_path,
        "file: test.jsonl",
        "keep: {file: general.jsonl, max_drop: 0.02, metric: token_f1}",
        "slices: [lang, metadata.source]",
        'require: {accuracy_in_lang: ">= 0.8", accuracy_over_majority_in_metadata.source: "> 0"}',
    ).evaluate
    assert spec.keep == KeepSpec(file="general.jsonl", max_drop=0.02, metric="token_f1")
    requirements = [
        parse_requirement(name, text, spec.slices) for name, text in spec.require.items()
    ]
    assert [(item.name, item.over, item.field) for item in requirements] == [
        ("accuracy", None, "lang"),
        ("accuracy", "majority", "metadata.source"),
    ]
    assert spec.files == {"evaluate.file": "test.jsonl", "evaluate.keep.file": "general.jsonl"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["keep: {file: a.jsonl}"], "6:3: keep lacks max_drop"),
        (["keep: 3"], "keep must be a mapping of file, max_drop, metric, not 3"),
        (["keep: {file: a.jsonl, max: 1, max_drop: 0}"], "unknown key 'max' under keep"),
        (["keep: {file: a.jsonl, max_drop: -1}"], "6:35: max_drop must be a number from 0"),
        (["keep: {file: a.jsonl, max_drop: 0, metric: regex}"], "metric must be the name of"),
        (["slices: [lang]"], "slices needs evaluate.file"),
        (["file: a.jsonl", 'require: {accuracy_in_lang: ">= 0.8"}'], "unknown metric"),
        (["file: a.jsonl", "slices: [lang]", 'require: {x_in_lang: "> 0"}'], "unknown metric 'x'"),
    ],
)
def test_a_mistake_in_keep_or_slices_is_reported(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    assert message in read_error(tmp_path, *lines)
