"""The upload form with generated input: forms of other clients are read back, malformed forms are
refused without stale files."""

import asyncio
import io
import itertools
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

from ftops.engine.api.errors import ApiError
from ftops.engine.api.multipart import UploadForm, read_upload
from tests.engine.running import Running, run_engine, table_settings
from tests.examples import examples

BOUNDARY = "b0undary"


class Form(NamedTuple):
    """What is sent: a content type and a body."""

    kind: str
    body: bytes


def read(form: Form, cuts: Sequence[int] = ()) -> tuple[UploadForm, bytes]:
    """What the engine reads when the body arrives cut at these places."""
    places = sorted({0, len(form.body), *(cut % (len(form.body) + 1) for cut in cuts)})

    async def stream() -> AsyncIterator[bytes]:
        for begin, end in itertools.pairwise(places):
            yield form.body[begin:end]

    target = io.BytesIO()
    return asyncio.run(read_upload(form.kind, stream(), target)), target.getvalue()


def write_with_httpx(purpose: str, filename: str, content: bytes) -> Form:
    request = httpx.Request(
        "POST", "http://a/", data={"purpose": purpose}, files={"file": (filename, content)}
    )
    return Form(request.headers["content-type"], request.read())


def write_with_requests(purpose: str, filename: str, content: bytes) -> Form:
    request = requests.Request(
        "POST", "http://a/", data={"purpose": purpose}, files={"file": (filename, content)}
    ).prepare()
    assert isinstance(request.body, bytes)
    return Form(str(request.headers["content-type"]), request.body)


def write_with_urllib3(purpose: str, filename: str, content: bytes) -> Form:
    file = RequestField("file", content, filename=filename)
    file.make_multipart(content_type="application/octet-stream")
    body, kind = encode_multipart_formdata([("purpose", purpose), file], BOUNDARY)
    return Form(kind, body)


WRITERS = (write_with_httpx, write_with_requests, write_with_urllib3)
CUTS = st.lists(st.integers(0, 5000), max_size=12)
CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.lists(
        st.sampled_from([b"\r\n", b"--", b"b0undary", b"\r", b"\n", b"\r\n--b0undar", b"\0", b"x"])
    ).map(b"".join),
).filter(lambda content: b"\r\n--" + BOUNDARY.encode() not in b"\r\n" + content)
# Writers escape quotes and line ends each in a way of its own, and pass a backslash on as it is.
NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n\0'), min_size=1).filter(
    lambda name: name == name.strip()
)


@pytest.mark.parametrize("write", WRITERS)
@given(purpose=st.text(st.characters(codec="utf-8"), max_size=50), name=NAMES, content=CONTENTS,
       cuts=CUTS)  # fmt: skip
def test_what_other_writers_write_is_read_back(
    write: type[Form], purpose: str, name: str, content: bytes, cuts: list[int]
) -> None:
    form = write(purpose, name, content)  # type: ignore[call-arg,arg-type]
    result, written = read(form, cuts)
    assert written == content
    assert (result.size, result.fields) == (len(content), {"purpose": purpose})
    # httpx leaves the escape character as it is
    percent_encoded = re.sub("[\x00-\x1a\x1c-\x1f]", lambda found: f"%{ord(found[0]):02X}", name)
    assert result.filename in (name, percent_encoded)


HEADERS = st.sampled_from(
    [
        b'Content-Disposition: form-data; name="file"; filename="a"',
        b'Content-Disposition: form-data; name="purpose"',
        b"Content-Disposition: form-data; name=file; filename*=UTF-8''%e2%82%ac",
        b"Content-Disposition: form-data; name=file; filename*=nonsense''%ff%fe",
        b"Content-Disposition: form-data; name*=UTF-8''file",
        b'Content-Disposition: form-data; name="file"; filename="../../a\\"b\0c"',
        b'Content-Disposition: form-data; name="file"; filename="' + b"x" * 10_000 + b'"',
        b"Content-Disposition: form-data; name*0=fi; name*1=le",
        b"Content-Disposition: ;;;===",
        b"Content-Disposition: form-data",
        b"Content-Type: multipart/mixed; boundary=inner",
        b"Content-Transfer-Encoding: base64",
        b"Content-Length: 999999999999",
        b"X: \xff\xfe",
        b": no name",
        b"no colon",
        b"",
    ]
)
PIECES = st.one_of(
    st.just(b"--b0undary\r\n"),
    st.just(b"\r\n--b0undary\r\n"),
    st.just(b"\r\n--b0undary--\r\n"),
    st.just(b"--b0undary--"),
    HEADERS.map(lambda header: header + b"\r\n"),
    st.just(b"\r\n"),
    st.just(b"--inner\r\n"),
    st.just(b"purpose"),
    st.binary(max_size=40),
)
BODIES = st.lists(PIECES, max_size=25).map(b"".join)
KINDS = st.one_of(
    st.just(f"multipart/form-data; boundary={BOUNDARY}"),
    st.sampled_from(
        [
            "",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            'multipart/form-data; boundary=""',
            "multipart/form-data; boundary=\xff",
            f"multipart/form-data; boundary={'x' * 5000}",
            "multipart/form-data; boundary*=UTF-8''b0undary",
            f"multipart/mixed; boundary={BOUNDARY}",
            "multipart/form-data;;;==",
        ]
    ),
)


def outcome(form: Form, cuts: Sequence[int] = ()) -> object:
    try:
        return read(form, cuts)
    except ApiError as error:
        assert error.status_code in (400, 415)
        return error.status_code


@given(KINDS, BODIES, CUTS)
def test_anything_is_read_or_refused_and_the_cuts_do_not_matter(
    kind: str, body: bytes, cuts: list[int]
) -> None:
    form = Form(kind, body)
    whole = outcome(form)
    assert outcome(form, cuts) == whole
    assert outcome(form, range(len(body))) == whole


@given(CONTENTS, st.data())
def test_a_form_that_is_cut_off_is_refused(content: bytes, data: st.DataObject) -> None:
    form = write_with_urllib3("fine-tune", "a", content)
    end = data.draw(st.integers(0, len(form.body) - len("--\r\n") - 1))
    assert outcome(form._replace(body=form.body[:end])) == 400


@given(CONTENTS, st.binary(max_size=100))
def test_what_follows_the_last_boundary_does_not_count(content: bytes, epilogue: bytes) -> None:
    form = write_with_urllib3("fine-tune", "a", content)
    _, written = read(form._replace(body=form.body + epilogue))
    assert written == content


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = table_settings(tmp_path_factory.mktemp("multipart") / "engine")
    with run_engine(settings, schedules=False) as running, running.http:  # one loop for all
        yield running


def everything(engine: Running) -> set[Path]:
    """What stands in and beside the engine's folder, but for the database."""
    found = engine.engine.paths.root.parent.rglob("*")
    return {path for path in found if not path.name.startswith("engine.db")}


@examples(25)
@given(
    name=st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=40),
        st.sampled_from(
            ["/etc/passwd", "..", ".", "../..", "C:\\x\\..", "a\0b", "...", "x" * 1000, '"',
             "\r\nX: y", "a/", "\\", "CON", "\u202egpj.exe", "😀" * 300]
        ),
    ),
    content=CONTENTS.filter(bool),
)  # fmt: skip
def test_no_name_leads_out_of_the_engines_folder(
    engine: Running, name: str, content: bytes
) -> None:
    before = everything(engine)
    form = write_with_urllib3("fine-tune", name, content)
    headers = {"content-type": form.kind}
    answer = engine.http.post("/v1/files", content=form.body, headers=headers)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert not set("/\\\0\r\n") & set(made["filename"])
    assert 0 < len(made["filename"]) <= 255
    sent_back = engine.http.get(f"/v1/files/{made['id']}/content")
    assert sent_back.content == content
    message = EmailMessage()
    message["content-disposition"] = sent_back.headers["content-disposition"]
    assert message.get_content_disposition() == "attachment"
    paths = engine.engine.paths
    assert everything(engine) - before == {paths.file(made["id"])}
    engine.http.delete(f"/v1/files/{made['id']}")


@examples(40)
@given(KINDS, BODIES, st.one_of(st.none(), st.integers(0, 10_000).map(str), st.just("x")))
def test_a_refused_form_leaves_nothing_behind(
    engine: Running, kind: str, body: bytes, length: str | None
) -> None:
    headers = [(b"content-type", kind.encode("latin-1"))]
    if length is not None:
        headers.append((b"content-length", length.encode()))
    answer = engine.http.post("/v1/files", content=body, headers=headers)
    assert answer.status_code in (400, 413, 415), answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"
    paths = engine.engine.paths
    assert [*paths.incoming.iterdir(), *paths.files.iterdir()] == []
