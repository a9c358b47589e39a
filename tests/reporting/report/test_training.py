"""Curves, epochs and the best step come out of the results as they are."""

from ftops.records import Stage, StageRecord, StageStatus
from ftops.reporting.report.charts import NamedCurve, draw_curves
from ftops.reporting.report.facts import RunFacts
from ftops.reporting.report.palette import PAPER
from ftops.reporting.report.training import Training, read_training
from ftops.reporting.results import ResultRow, parse_results
from tests.reporting.report.sketches import make_run

CSV = b"step,epoch,train_loss,valid_loss\n" + b"".join(
    b"%d,%d,%.4f,%s\n"
    % (step, (step - 1) // 10 + 1, 4 / step, b"%.3f" % abs(step - 20) if step % 5 == 0 else b"")
    for step in range(1, 31)
)


def read(content: bytes) -> Training:
    return read_training(RunFacts(make_run(), [], results=parse_results(content)))


def test_epochs_end_where_the_results_begin_the_next_one() -> None:
    assert list(read(CSV).epochs) == [10, 20]


def test_epochs_are_spread_evenly_where_only_their_number_is_known() -> None:
    follow = StageRecord(
        Stage.FOLLOW, StageStatus.SUCCEEDED, detail={"hyperparameters": {"n_epochs": 3}}
    )
    facts = RunFacts(make_run(), [follow], results=[ResultRow(step, 1.0) for step in range(1, 31)])
    assert list(read_training(facts).epochs) == [10, 20]


def test_the_step_with_the_lowest_validation_loss_is_found() -> None:
    training = read(CSV)
    assert training.best == (20, 0)
    assert training.last_step == 30


def test_many_epochs_are_thinned_out() -> None:
    follow = StageRecord(
        Stage.FOLLOW, StageStatus.SUCCEEDED, detail={"hyperparameters": {"n_epochs": 200}}
    )
    facts = RunFacts(make_run(), [follow], results=[ResultRow(step, 1.0) for step in range(1, 401)])
    assert 10 < len(read_training(facts).epochs) <= 24


def test_a_run_without_results_has_no_curves() -> None:
    training = read_training(RunFacts(make_run(), []))
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
