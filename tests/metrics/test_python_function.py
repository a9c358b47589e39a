"""Python metrics of users: scores, and errors reported by row."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ftops.errors import ScoringError
from ftops.metrics.metric import Metric, create_metrics
from ftops.metrics.prediction import Prediction
from ftops.metrics.python_function import FunctionMetric
from ftops.metrics.registry import MetricChoice
from ftops.records import Chat, Message
from tests.metrics.predictions import fail, make_predictions

Make = Callable[[str], Metric]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(source: str, name: str = "score") -> Metric:
        (tmp_path / "check.py").write_text(source)
        choice = MetricChoice("python", {"function": f"check.py:{name}"})
        return create_metrics([choice], folder=tmp_path)[0]

    return write


def test_a_function_that_returns_booleans_is_a_share(make: Make) -> None:
    metric = make("def score(prompt, expected, given):\n    return given.endswith(expected)\n")
    sample = metric.measure(make_predictions([("a", "xa"), ("b", "b"), ("c", "x")]))
    assert sample.value == pytest.approx(2 / 3)
    assert sample.correct is not None
    assert sample.correct.tolist() == [True, True, False]


def test_a_function_gets_a_chat_as_a_list_of_messages(make: Make) -> None:
    metric = make("def score(prompt, expected, given):\n    return prompt[0]['content'] == 'hi'\n")
    assert metric.measure([Prediction(1, Chat((Message("user", "hi"),)), "a", "b")]).value == 1


def test_a_row_that_raises_counts_as_wrong_and_is_noted(make: Make) -> None:
    metric = make(
        "import json\ndef score(prompt, expected, given):\n    return json.loads(given)\n"
    )
    sample = metric.measure(
        make_predictions([("a", "1"), ("a", "0.5"), ("a", "x"), ("a", '"text"')])
    )
    assert sample.value == pytest.approx(1.5 / 4)
    assert sample.rows == 4
    (note,) = sample.notes
    assert "check.py:score could not score 2 of 4 rows" in note
    assert "line 3: JSONDecodeError: Expecting value" in note
    assert "line 4: it gave 'text', which is neither True, False nor a number to count with" in note


@pytest.mark.parametrize("returned", ["None", "float('nan')", "'0.5'", "[1]", "10 ** 400"])
def test_without_valid_scores_there_is_no_value(make: Make, returned: str) -> None:
    metric = make(f"def score(prompt, expected, given):\n    return {returned}\n")
    sample = metric.measure(make_predictions([("a", "a")] * 5))
    assert not sample.rows
    assert "5 of 5 rows" in sample.notes[0]
    assert "and 2 more" in sample.notes[0]


def test_a_failed_row_is_not_passed_and_has_the_lowest_score(make: Make) -> None:
    metric = make("def score(prompt, expected, given):\n    return -len(given)\n")
    sample = metric.measure(fail(make_predictions([("a", "12"), ("a", "1234"), ("a", "")]), 3))
    assert sample.value == pytest.approx((-2 - 4 - 4) / 3)


def test_a_file_can_import_modules_of_its_folder(make: Make, tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_check.py").write_text("WORD = 'a'\n")
    metric = make(
        "from neighbour_of_check import WORD\ndef score(prompt, expected, given):\n"
        "    return given == WORD\n"
    )
    assert metric.measure(make_predictions([("x", "a")])).value == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def other(): pass\n", r"check\.py: there is no function `score`"),
        ("score = 3\n", r"check\.py: there is no function `score`"),
        ("class Check:\n    def score(self): pass\n", "there is no function `score`"),
        ("x = 1\ndef score(:\n", r"check\.py:2: not Python: invalid syntax"),
        ("x = " + "(" * 500 + ")" * 500, "check.py"),
        (
            "\n\ndef score(answer): ...\n",
            r"check\.py:3: `score` must take three arguments",
        ),
        ("def score(a, b, c, d): ...\n", "must take three arguments"),
        ("def score(a, b, c, *, d): ...\n", "must take three arguments"),
        ("score = lambda a: 1\n", "must take three arguments"),
    ],
)
def test_a_source_without_the_function_is_refused_when_the_metric_is_created(
    make: Make, source: str, reason: str
) -> None:
    with pytest.raises(ScoringError, match=reason):
        make(source)


@pytest.mark.parametrize(
    "source",
    [
        "def score(a, b, c, d=1, *more, e=2): return 1\n",
        "def score(*row): return 1\n",
        "try:\n    import json\nexcept ImportError:\n    pass\nelse:\n"
        "    def score(a, b, c): return 1\n",
        "from operator import truth\nscore = lambda a, b, c: truth(a)\n",
        "from functools import partial\nscore = partial(lambda k, a, b, c: k, 1)\n",
        "def made(function):\n    return lambda *row: 1\n@made\ndef score(a): ...\n",
        "class Score:\n    def __call__(self, a, b, c): return 1\nother, score = 1, Score()\n",
        "score: object = max if False else (lambda a, b, c: 1)\n",
        "match 1:\n    case 1:\n        def score(a, b, c): return 1\n",
        "if 0:\n    pass\n" + "elif 0:\n    pass\n" * 900 + "else:\n    score = max\nscore = pow\n"
        "def score(a, b, c): return 1\n",
    ],
)
def test_a_function_is_found_in_any_form_of_definition(make: Make, source: str) -> None:
    assert make(source).measure(make_predictions([("a", "a")])).value == 1


def test_creating_the_metric_executes_nothing_and_writes_no_bytecode(
    make: Make, tmp_path: Path
) -> None:
    metric = make(
        "import neighbour\nfrom pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
        "def score(a, b, c): return 1\n"
    )
    (tmp_path / "neighbour.py").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["check.py", "neighbour.py"]
    assert isinstance(metric, FunctionMetric)
    metric.load()
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0\n", "does not load: ZeroDivisionError"),
        ("raise SystemExit(3)\n", "does not load: SystemExit"),
        ("import os\nos._exit(7)\n", "does not load: its process ended with exit code 7"),
        ("del score\n", "there is no function `score`"),
    ],
)
def test_a_file_that_cannot_be_imported_is_an_error_before_any_row(
    make: Make, source: str, reason: str
) -> None:
    metric = make("def score(a, b, c): ...\n" + source)
    assert isinstance(metric, FunctionMetric)
    for call in (metric.load, lambda: metric.measure(make_predictions([("a", "a")]))):
        with pytest.raises(ScoringError, match=reason) as caught:
            call()
        assert "check.py" in caught.value.message


@pytest.mark.parametrize("text", ["check.py", ":score", "nowhere.py:score"])
def test_a_name_without_file_or_function_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ScoringError) as caught:
        create_metrics([MetricChoice("python", {"function": text})], folder=tmp_path)
    assert "my_check.py:score" in caught.value.hint


def test_output_of_a_function_is_not_printed_by_ftops(
    make: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    metric = make(
        "import os\nprint('loaded')\ndef score(prompt, expected, given):\n    print('said')\n"
        "    os.system('echo shell')\n    return 1\n"
    )
    assert metric.measure(make_predictions([("a", "a")])).value == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert sorted(err.split()) == ["loaded", "said", "shell"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import sys\ndef score(*_):\n    sys.exit(3)\n", "SystemExit: 3"),
        ("def score(*_):\n    return input()\n", "EOFError"),
        ("def score(*_):\n    return 1e308\n", "it gave 1e+308"),
        ("def score(*_):\n    return float('nan')\n", "it gave nan"),
        (
            "class Odd:\n    def __repr__(self):\n        raise ValueError\n"
            "def score(*_):\n    return Odd()\n",
            "it gave a Odd",
        ),
        (
            "class Odd(Exception):\n    def __str__(self):\n        raise ValueError\n"
            "def score(*_):\n    raise Odd\n",
            "Odd: a Odd",
        ),
    ],
)
def test_a_function_that_exits_or_reads_or_returns_invalid_values_is_noted(
    make: Make, source: str, text: str
) -> None:
    sample = make(source).measure(make_predictions([("a", "a"), ("b", "b")]))
    assert not sample.rows
    assert text in sample.notes[0]


STUCK = (
    "def score(prompt, expected, given):\n"
    "    while given == 'x':\n        try:\n            pass\n"
    "        except BaseException:\n            pass\n    return 1\n"
)


def test_a_call_that_never_returns_is_ended_and_few_are_tried(make: Make) -> None:
    metric = make(STUCK)
    assert isinstance(metric, FunctionMetric)
    sample = replace(metric, limit_s=1).measure(make_predictions([("a", "a"), *[("a", "x")] * 5]))
    assert sample.value == pytest.approx(1 / 6)
    (note,) = sample.notes
    assert "could not score 5 of 6 rows" in note
    assert "line 2: it took more than 1 s" in note
    assert "and 2 more" in note


def test_rows_after_a_timeout_are_scored(make: Make) -> None:
    metric = make(STUCK)
    assert isinstance(metric, FunctionMetric)
    sample = replace(metric, limit_s=1).measure(
        make_predictions([("a", "x"), ("a", "a"), ("a", "b")])
    )
    assert sample.value == pytest.approx(2 / 3)


def test_a_call_is_ended_in_a_thread(make: Make) -> None:
    metric = make(STUCK)
    assert isinstance(metric, FunctionMetric)
    with ThreadPoolExecutor(1) as pool:
        sample = pool.submit(
            replace(metric, limit_s=1).measure, make_predictions([("a", "x")])
        ).result(60)
    assert not sample.rows


def test_a_row_that_ends_the_process_fails_alone(make: Make) -> None:
    metric = make(
        "import os\ndef score(prompt, expected, given):\n    return given or os._exit(5)\n"
    )
    sample = metric.measure(make_predictions([("a", ""), ("a", ""), ("a", "")]))
    assert "its process ended with exit code 5" in sample.notes[0]
    half = make("import os\ndef score(a, b, given):\n    return given == 'x' or os._exit(5)\n")
    assert half.measure(make_predictions([("a", ""), ("a", "x")])).value == 0.5
