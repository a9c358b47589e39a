"""What processes send each other."""

from array import array

import pytest

from ftops.data.examining.parcels import read_parcel, write_parcel
from ftops.data.examining.survey import Survey
from ftops.data.findings import Occurrences
from ftops.records import RowFormat


def test_what_is_sent_comes_out_as_it_was() -> None:
    sent = {
        "a": [Occurrences(3, [1, 2]), None, 0.5, True],
        "b": (Survey(RowFormat.CHAT, "é", ""), {"x", "y"}, array("q", [-1, 2**62])),
        7: {},
    }
    assert read_parcel(write_parcel(sent)) == sent


def test_what_has_no_name_here_is_neither_sent_nor_made() -> None:
    with pytest.raises(TypeError, match="Path"):
        write_parcel(type("Path", (), {})())
    with pytest.raises(KeyError):
        read_parcel(b'{"Popen": {"args": "true"}}')
