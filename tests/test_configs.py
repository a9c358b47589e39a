"""The job files under configs/ and their data load and pass every check."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from ftops.capabilities import Naming
from ftops.data.summary import check_file
from ftops.providers.registry import get_capabilities
from ftops.spec.job_file import check_provider, load_job, resolve_data

CONFIGS = Path(__file__).parent.parent / "configs"
JOB_FILES = sorted(CONFIGS.glob("*.yaml"))
NEWS = CONFIGS / "data" / "news-topics"
ORDERS = CONFIGS / "data" / "orders"
HOUSEHOLD = CONFIGS / "data" / "household-faq" / "train.jsonl"

every_job_file = pytest.mark.parametrize("job_file", JOB_FILES, ids=lambda path: path.stem)


def read_pairs(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(row["prompt"], row["completion"]) for row in map(json.loads, lines)]


def normalise(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def test_the_three_examples_exist() -> None:
    assert {path.stem for path in JOB_FILES} >= {"news-topics", "household-faq", "openai"}


@every_job_file
def test_a_job_file_loads_without_environment_variables_and_fits_its_provider(
    job_file: Path,
) -> None:
    job = load_job(job_file, environ={})
    check_provider(job, get_capabilities(job.spec.provider_settings()))


def test_the_commented_evaluation_of_the_openai_example_is_valid(
    tmp_path: Path,
) -> None:
    text = (CONFIGS / "openai.yaml").read_text(encoding="utf-8")
    head, section, tail = re.split(r"(?m)(^# evaluate:\n(?:#   .*\n)+)", text)
    path = tmp_path / "openai.yaml"
    path.write_text(head + re.sub(r"(?m)^# ", "", section) + tail, encoding="utf-8")
    evaluate = load_job(path, environ={}).spec.evaluate
    assert [entry.word for entry in evaluate.candidates] == ["baseline", "base", "few-shot"]
    assert list(evaluate.requirements) == ["accuracy", "accuracy_over_few_shot"]
    assert evaluate.max_cost_usd == 1


@every_job_file
def test_a_job_file_starts_with_the_schema_line_for_editors(job_file: Path) -> None:
    first_line = job_file.read_text(encoding="utf-8").splitlines()[0]
    assert first_line == "# yaml-language-server: $schema=../job.schema.json"


@every_job_file
def test_the_data_files_of_a_job_file_pass_the_checks(job_file: Path) -> None:
    spec = load_job(job_file, environ={}).spec
    values = [spec.training_file, spec.validation_file, spec.evaluate.file]
    paths = [resolve_data(job_file, value, Naming()) for value in values if value is not None]
    assert paths
    for path in paths:
        assert path is not None
        summary = check_file(path)
        assert summary.rows > 0
        assert summary.duplicate_rows == 0


@every_job_file
def test_a_job_file_that_evaluates_on_its_training_rows_allows_the_overlap(job_file: Path) -> None:
    spec = load_job(job_file, environ={}).spec
    if spec.evaluate.file == spec.training_file:
        assert not spec.evaluate.refuses_overlap


@pytest.mark.parametrize(("name", "at_least"), [("train", 150), ("validation", 50)])
def test_news_has_enough_rows_of_each_of_its_three_labels(name: str, at_least: int) -> None:
    labels = Counter(label for _, label in read_pairs(NEWS / f"{name}.jsonl"))
    assert set(labels) == {" 1", " 2", " 3"}
    assert min(labels.values()) >= at_least


def test_no_news_sentence_occurs_twice_in_one_file_or_in_both() -> None:
    pairs = read_pairs(NEWS / "train.jsonl") + read_pairs(NEWS / "validation.jsonl")
    sentences = Counter(normalise(sentence) for sentence, _ in pairs)
    assert [sentence for sentence, times in sentences.items() if times > 1] == []


def test_household_has_at_least_200_different_questions() -> None:
    questions = Counter(normalise(question) for question, _ in read_pairs(HOUSEHOLD))
    assert [question for question, times in questions.items() if times > 1] == []
    assert len(questions) >= 200


def test_household_has_at_least_30_answers_with_several_questions() -> None:
    wordings: dict[str, list[str]] = defaultdict(list)
    for question, answer in read_pairs(HOUSEHOLD):
        wordings[answer].append(question)
    assert sum(len(questions) > 1 for questions in wordings.values()) >= 30


def test_household_answers_start_with_one_blank_and_end_with_a_full_stop() -> None:
    for _, answer in read_pairs(HOUSEHOLD):
        assert re.fullmatch(r" \S.*\.", answer), answer


def test_no_order_goes_to_an_address_of_the_training_rows() -> None:
    train, test = (
        [
            json.loads(line)["messages"][1]["content"]
            for line in (ORDERS / name).read_text().splitlines()
        ]
        for name in ("train.jsonl", "test.jsonl")
    )
    addresses = {json.loads(answer)["address"] for answer in train}
    assert len(test) >= 150
    assert not addresses & {json.loads(answer)["address"] for answer in test}
