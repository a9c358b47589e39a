"""Curves, epochs and the best step come out of the results as they are."""

from ftops.reports.report.curve_chart import NamedCurve, draw_curves
from ftops.reports.report.facts import RunFacts
from ftops.reports.report.figures import list_curves
from ftops.reports.report.learning import Learning, read_learning
from ftops.reports.report.palette import PAPER
from ftops.reports.results import ResultRow, parse_results
from ftops.reports.training import TrainingFacts, make_training
from tests.reports.report.sketches import make_contents, make_facts, make_run

CSV = b"step,epoch,train_loss,valid_loss\n" + b"".join(
    b"%d,%d,%.4f,%s\n"
    % (step, (step - 1) // 10 + 1, 4 / step, b"%.3f" % abs(step - 20) if step % 5 == 0 else b"")
    for step in range(1, 31)
)


def read(content: bytes, n_epochs: int | None = None) -> Learning:
    training = make_training(parse_results(content), TrainingFacts(n_epochs=n_epochs))
    return read_learning(RunFacts(make_run(), [], training=training))


def test_epochs_end_where_the_results_begin_the_next_one() -> None:
    assert list(read(CSV).epochs) == [10, 20]


def test_epochs_are_spread_evenly_where_only_their_number_is_known() -> None:
    plain = b"step,train_loss\n" + b"".join(b"%d,1\n" % step for step in range(1, 31))
    assert list(read(plain, n_epochs=3).epochs) == [10, 20]


def test_figures_of_all_validation_rows_stand_before_those_of_a_few() -> None:
    both = b"step,train_loss,valid_loss,full_valid_loss\n1,2,9,1.5\n2,1,9,\n3,1,9,1.2\n"
    assert read(both).loss.validation == [(1.0, 1.5), (3.0, 1.2)]


def test_figures_of_a_few_validation_rows_make_the_curve_where_all_are_measured_once() -> None:
    once = b"step,train_loss,valid_loss,full_valid_loss\n1,2,9,\n2,1,8,1.5\n"
    assert read(once).loss.validation == [(1.0, 9.0), (2.0, 8.0)]


def test_the_step_with_the_lowest_validation_loss_is_found() -> None:
    training = read(CSV)
    assert training.best is not None
    assert list(training.best) == [20, 0]
    assert training.last_step == 30


def test_many_epochs_are_thinned_out() -> None:
    plain = b"step,train_loss\n" + b"".join(b"%d,1\n" % step for step in range(1, 401))
    assert 10 < len(read(plain, n_epochs=200).epochs) <= 24


def test_the_checkpoint_that_a_finding_prefers_is_marked_and_named() -> None:
    contents = make_contents()
    assert contents.runs[0].learning.preferred is not None
    assert "overfitting" in contents.runs[0].findings[0].text
    loss = list_curves(contents)[0]
    assert "The checkpoint to prefer is that of step" in loss.caption
    assert [key.kind for key in loss.legend] == ["training", "validation", "best", "preferred"]


def test_a_run_without_results_has_no_curves() -> None:
    training = read_learning(RunFacts(make_run(), []))
    assert training.loss.empty and training.accuracy.empty
    assert training.best is None and training.last_step is None


def test_a_loss_that_falls_a_hundredfold_is_drawn_on_a_logarithmic_axis() -> None:
    def scale(content: bytes) -> object:
        spec = draw_curves([NamedCurve("x", read(content).loss)], PAPER)
        return spec["layer"][0]["encoding"]["y"]["scale"].get("type")

    steep = b"step,train_loss\n1,7\n2,0.5\n3,0.004\n"
    flat = b"step,train_loss\n1,2\n2,1\n3,0.5\n"
    assert scale(steep) == "log"
    assert scale(flat) is None


def test_a_validation_that_was_measured_once_is_a_point_and_no_curve() -> None:
    facts = make_facts(results=lambda: [ResultRow(1, 2.0), ResultRow(2, 1.0, valid_loss=1.5)])
    loss = list_curves(make_contents(facts))[0]
    assert "validation was measured once, at step 2: 1.5." in loss.caption
    assert [key.kind for key in loss.legend] == ["training", "point"]
