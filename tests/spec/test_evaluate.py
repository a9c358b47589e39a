"""The section `evaluate`: its lists, their errors, and the options that say the same."""

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
from tests.spec.job_files import MINIMAL, load_text, refusal, write_job


def read(folder: Path, *lines: str) -> JobSpec:
    section = "".join(f"  {line}\n" for line in lines)
    return load_text(folder, f"{MINIMAL}evaluate:\n{section}").spec


def refuse(folder: Path, *lines: str) -> str:
    with pytest.raises(SpecError) as caught:
        read(folder, *lines)
    return caught.value.message


def test_the_free_baseline_is_the_default_candidate(tmp_path: Path) -> None:
    spec = load_text(tmp_path, MINIMAL).spec
    assert [entry.word for entry in spec.evaluate.candidates] == ["baseline"]


def test_candidates_are_words_or_say_more(tmp_path: Path) -> None:
    spec = read(
        tmp_path,
        "against: [base, few-shot: 5, baseline, previous, checkpoints, model: gpt-6-luna]",
    )
    found = spec.evaluate.candidates
    words = ["base", "few-shot", "baseline", "previous", "checkpoints", "model"]
    assert [entry.word for entry in found] == words
    assert found[1].settings == FewShotCandidate(examples=5)
    assert found[5].settings == OtherModel(name="gpt-6-luna")


def test_a_few_shot_candidate_says_how_its_examples_are_chosen(tmp_path: Path) -> None:
    spec = read(tmp_path, "against:", "  - few-shot: {examples: 3, selection: nearest, seed: 7}")
    (found,) = spec.evaluate.candidates
    assert found.settings == FewShotCandidate(examples=3, selection="nearest", seed=7)


def test_a_model_may_be_at_another_provider(tmp_path: Path) -> None:
    spec = read(
        tmp_path,
        "against:",
        "  - model: {name: m, provider: {type: openai, base_url: 'https://host/v1/'}}",
    )
    (found,) = spec.evaluate.candidates
    assert isinstance(found.settings, OtherModel)
    assert found.settings.settings is not None
    assert found.settings.settings.base_url == "https://host/v1"


def test_metrics_are_words_or_say_more(tmp_path: Path) -> None:
    spec = read(tmp_path, "metrics: [f1, regex: 'a+', judge: {model: m, mode: grade}]")
    found = spec.evaluate.metric_entries
    assert [entry.word for entry in found] == ["f1", "regex", "judge"]
    assert to_choice(found[1]) == MetricChoice("regex", {"pattern": "a+"})
    assert found[2].settings == JudgeMetric(model="m", mode="grade")


def test_exact_match_can_normalize_as_squad_does(tmp_path: Path) -> None:
    spec = read(tmp_path, "metrics: [exact_match: squad]")
    (entry,) = spec.evaluate.metric_entries
    assert to_choice(entry) == MetricChoice("exact_match", {"normalize": "squad"})
    with pytest.raises(SpecError, match="normalize must be none or squad, not 'all'"):
        read(tmp_path, "metrics: [exact_match: all]")


def test_the_section_survives_the_ledger(tmp_path: Path) -> None:
    spec = read(
        tmp_path,
        "against: [base, few-shot: {examples: 5}]",
        "metrics: [judge: {model: m}]",
        "require: {accuracy: '>= 0.85', accuracy_over_few_shot: '> 0.03'}",
    )
    again = JobSpec.from_json(spec.to_json())
    assert again == spec
    assert again.evaluate.candidates == spec.evaluate.candidates
    assert again.evaluate.requirements["accuracy"] == ">= 0.85"


def test_the_section_is_no_part_of_what_makes_a_job_the_same(tmp_path: Path) -> None:
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
    told = refuse(tmp_path, line)
    assert f":{place}: {message}" in told


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("against: [checkpoint]", "did you mean 'checkpoints'?"),
        ("against: [few-shot: {examples: 5, selection: near}]", "did you mean 'nearest'?"),
        ("against: [few-shot: {example: 5}]", "did you mean 'examples'?"),
        ("metrics: [acuracy]", "did you mean 'accuracy'?"),
        ("require: {f1: 0.8}", 'write ">= 0.8"'),
        ("agains: [base]", "did you mean 'against'?"),
    ],
)
def test_a_mistake_comes_with_what_was_probably_meant(
    tmp_path: Path, line: str, meant: str
) -> None:
    assert meant in refuse(tmp_path, line)


def test_every_mistake_in_a_list_is_reported_at_once(tmp_path: Path) -> None:
    told = refuse(tmp_path, "against: [bas, few-shot: no, 7]")
    assert told.count("a.yaml:6:") + told.count("job.yaml:6:") == 3


def test_a_provider_that_does_not_exist_is_reported_where_it_is_named(tmp_path: Path) -> None:
    against = "against: [model: {name: m, provider: opnai}]"
    metrics = "metrics: [judge: {model: m, provider: {type: x}}]"
    path = write_job(tmp_path, f"{MINIMAL}evaluate:\n  {against}\n  {metrics}\n")
    with pytest.raises(SpecError) as caught:
        load_job(path, environ={}, providers=PROVIDERS)
    assert ":6:40: unknown provider 'opnai'" in caught.value.message
    assert "did you mean 'openai'?" in caught.value.message
    assert ":7:48: unknown provider 'x'" in caught.value.message


def _find(section: Json) -> list[tuple[object, ...]]:
    return [(one.path[-1], one.message, one.suggestion) for one in list_evaluation_errors(section)]


def test_an_unknown_metric_in_a_requirement_is_reported() -> None:
    found = _find({"require": {"acuracy": "> 0", "p50_s": "< 1", "rouge_l": "> 0"}})
    assert found == [("acuracy", "unknown metric 'acuracy'", "did you mean 'accuracy'?")]
    ((_, message, suggestion),) = _find({"require": {"regex": "> 0"}})
    assert message == "unknown metric 'regex'"
    assert "accuracy" in str(suggestion)


def test_figures_are_known_by_the_names_that_metrics_were_given() -> None:
    metrics: Json = [
        {"regex": {"pattern": "^A", "name": "letter"}},
        {"judge": {"model": "m", "question": "?"}},
        {"judge": {"model": "n", "question": "?"}},
    ]
    names: Json = dict.fromkeys(["letter", "judge", "judge_2", "letter_over_majority"], "> 0")
    assert _find({"metrics": metrics, "require": names}) == []
    assert len(_find({"metrics": metrics, "require": {"judge_3": "> 0", "regex": "> 0"}})) == 2


def test_a_difference_to_an_unknown_candidate_is_reported() -> None:
    against: Json = ["base", {"few-shot": 5}, {"model": "gpt-6 luna"}, "checkpoints"]
    right = ("base", "few_shot", "model", "gpt_6_luna", "step_10", "base_2")
    wanted: Json = {f"f1_over_{name}": "> 0" for name in right}
    assert _find({"against": against, "require": wanted}) == []
    ((name, message, suggestion),) = _find({"require": {"f1_over_base": "> 0"}})
    assert (name, message) == ("f1_over_base", "unknown candidate 'base'")
    assert suggestion == "`against` lists: naive_bayes, nearest_neighbour, regex_template, majority"


@pytest.mark.parametrize("broken", [{"against": "base"}, {"metrics": ["nonsense"]}])
def test_where_lists_are_broken_nothing_is_said_of_what_is_required_of_them(
    broken: dict[str, Json],
) -> None:
    told = _find({**broken, "require": {"anything": "> 0"}})
    assert all("unknown metric" not in str(one[1]) for one in told)


def test_the_example_of_the_page_about_the_job_file_is_read(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "job-file.md"
    (example,) = re.findall(r"```yaml\n(evaluate:.*?)```", page.read_text("utf-8"), re.DOTALL)
    spec = load_text(tmp_path, MINIMAL + example).spec
    words = [entry.word for entry in spec.evaluate.candidates]
    assert words == ["base", "few-shot", "few-shot", "model", "baseline"]
    assert [entry.word for entry in spec.evaluate.metric_entries] == ["accuracy", "f1", "judge"]


def test_instructions_are_text_of_some_length(tmp_path: Path) -> None:
    spec = read(tmp_path, "against: [base: {instructions: Answer with a number.}]")
    (base,) = spec.evaluate.candidates
    assert base.settings == BaseCandidate(instructions="Answer with a number.")
    message = refuse(tmp_path, "against: [base: {instructions: ''}]")
    assert "instructions must be text of 1 to 20000 characters" in message


def read_options(
    against: tuple[str, ...] = (), metrics: tuple[str, ...] = (), require: tuple[str, ...] = ()
) -> EvaluateSpec:
    return read_evaluation_options(against, metrics, require, environ={})


def test_options_say_what_the_section_says() -> None:
    spec = read_options(
        ("base", "few-shot: {examples: 3, selection: nearest}", "model: gpt-6-luna"),
        ("f1", 'regex: "^[AB]$"'),
        ("accuracy >= 0.85", "f1_over_base > 3%"),
    )
    assert [one.word for one in spec.candidates] == ["base", "few-shot", "model"]
    assert spec.candidates[1].settings == FewShotCandidate(examples=3, selection="nearest")
    assert [one.word for one in spec.metric_entries] == ["f1", "regex"]
    assert spec.requirements == {"accuracy": ">= 0.85", "f1_over_base": "> 3%"}


def test_the_blank_after_a_colon_may_be_missing_as_a_shell_wants_no_quotes_then() -> None:
    tight = read_options(("few-shot:3", "few-shot=4", "model:ft:ada:x"), ("regex:^[0-9]+:$",))
    spaced = read_options(
        ("few-shot: 3", "few-shot: 4", "model: ft:ada:x"), ('regex: "^[0-9]+:$"',)
    )
    assert (tight.candidates, tight.metric_entries) == (spaced.candidates, spaced.metric_entries)


def test_without_options_the_defaults_hold() -> None:
    assert read_options() == EvaluateSpec()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"against": ("bas",)}, "--against 'bas': unknown name 'bas'"),
        ({"against": ("base", "few-shot")}, "--against 'few-shot': few-shot needs settings"),
        ({"metrics": ("acuracy",)}, "--metric 'acuracy': unknown name"),
        ({"require": ("accuracy",)}, "--require 'accuracy': a requirement compares"),
        ({"require": ("accuracy >= good",)}, "--require accuracy: accuracy must be a comparison"),
    ],
)
def test_a_mistake_names_its_option(options: dict[str, tuple[str, ...]], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_options(**options)
    assert told in caught.value.message


def test_every_metric_that_there_is_can_be_named_with_the_settings_that_it_takes() -> None:
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
    message = refusal(tmp_path, job, environ=environ)
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
    found = [parse_requirement(name, text, spec.slices) for name, text in spec.require.items()]
    assert [(one.name, one.over, one.field) for one in found] == [
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
def test_a_mistake_in_keep_or_slices_is_named(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    assert message in refuse(tmp_path, *lines)
