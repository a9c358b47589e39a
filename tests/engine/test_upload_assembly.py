"""Places in a file that is to be: who may write where, and a hash that grows with the file."""

import hashlib
import io
from pathlib import Path

import pytest

from ftops.engine.upload_assembly import (
    ByteRange,
    RangeOverflow,
    RangeWriter,
    UploadAssembler,
    find_range,
)

LEFT, RIGHT, ALL = ByteRange(0, 3), ByteRange(3, 6), ByteRange(0, 6)


def test_one_place_is_written_by_one_alone() -> None:
    upload_assembler = UploadAssembler()
    with upload_assembler.reserved("upload-1", LEFT, []) as first:
        with upload_assembler.reserved("upload-1", ALL, []) as overlapping:
            assert (first, overlapping) == (True, False)
        with upload_assembler.reserved("upload-1", RIGHT, []) as beside:
            assert beside
        with upload_assembler.reserved("upload-2", LEFT, []) as elsewhere:
            assert elsewhere
    with upload_assembler.reserved("upload-1", ALL, []) as later:
        assert later
    with upload_assembler.reserved("upload-1", ALL, [RIGHT]) as taken:
        assert not taken


def test_what_is_being_written_is_not_sealed_and_what_is_sealed_not_written() -> None:
    upload_assembler = UploadAssembler()
    with (
        upload_assembler.reserved("upload-1", LEFT, []),
        upload_assembler.sealed("upload-1") as quiet,
    ):
        assert not quiet
    with upload_assembler.sealed("upload-1") as quiet:
        assert quiet
        with upload_assembler.reserved("upload-1", LEFT, []) as free:
            assert not free
        with upload_assembler.sealed("upload-1") as twice:
            assert not twice
    with upload_assembler.reserved("upload-1", LEFT, []) as free:
        assert free


def test_the_hash_grows_over_what_has_come_without_a_gap(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.write_bytes(b"abcdef")
    upload_assembler = UploadAssembler()
    upload_assembler.hash_received("upload-1", whole, [RIGHT])
    upload_assembler.hash_received("upload-1", whole, [RIGHT, LEFT])
    assert upload_assembler.compute_md5("upload-1", whole, 6) == hashlib.md5(b"abcdef").hexdigest()
    upload_assembler.forget("upload-1")
    whole.write_bytes(b"ghijkl")
    assert upload_assembler.compute_md5("upload-1", whole, 6) == hashlib.md5(b"ghijkl").hexdigest()


def test_a_range_writer_refuses_bytes_beyond_its_range() -> None:
    target = io.BytesIO(b"......")
    window = RangeWriter(target, RIGHT)
    window.writelines([b"a", b"bc"])
    with pytest.raises(RangeOverflow):
        window.writelines([b"d"])
    assert target.getvalue() == b"...abc"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("0-5", ALL),
        ("3-5", RIGHT),
        ("0-6", None),
        ("4-3", None),
        ("", None),
        (None, None),
        ("1-2-3", None),
        ("٣-٥", None),
    ],
)
def test_a_place_is_read_only_within_the_file(text: str | None, place: ByteRange | None) -> None:
    assert find_range(text, 6) == place
