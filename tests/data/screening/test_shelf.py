"""Numbers by keys, against a dict."""

from hypothesis import given
from hypothesis import strategies as st

from ftops.data.screening.shelf import Shelf

KEYS = st.one_of(st.integers(0, 20), st.integers(2**64 - 3, 2**64 - 1), st.integers(0, 2**64 - 1))


@given(st.lists(st.tuples(KEYS, st.integers(0, 2**32 - 1))), st.integers(1, 5))
def test_a_shelf_holds_what_a_dict_would(put: list[tuple[int, int]], fresh: int) -> None:
    shelf, known = Shelf(fresh), dict[int, int]()
    for key, number in put:
        shelf.put(key, number)
        known[key] = number
    for key in (*known, 7, 2**64 - 2):
        assert shelf.find(key) == known.get(key)
