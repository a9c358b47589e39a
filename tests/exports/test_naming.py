"""Names are fitted to what tools take, and stay apart."""

from hypothesis import given
from hypothesis import strategies as st

from ftops.exports.naming import cut, fit_names


@given(st.lists(st.text(max_size=40), unique=True))
def test_names_stay_apart_are_short_and_name_no_folder_above(names: list[str]) -> None:
    fitted = fit_names(names, limit=20)
    assert list(fitted) == names
    assert len(set(fitted.values())) == len(names)
    for name in fitted.values():
        assert 0 < len(name) <= 20
        assert not {"", ".", ".."} & set(name.split("/"))


def test_good_names_stay_as_they_are() -> None:
    names = ["train_loss", "eval/tuned/f1 macro", "a.b-c"]
    assert list(fit_names(names, limit=250).values()) == names


def test_a_text_that_is_cut_shows_it() -> None:
    assert (cut("abc", 3), cut("abcd", 3)) == ("abc", "ab…")
