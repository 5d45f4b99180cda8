"""app/http/multipart.py: whole forms give exactly the file's bytes, anything else one error and little memory."""

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from starlette.requests import Request

from app.errors import IncompleteRequest
from app.http.multipart import FILE_NAME_MAX_BYTES, PARTS_MAX, AssetForm, boundary_of
from tests.http.forms import ASSET_END, BOUNDARY, asset_form, asset_start, disposition, form

NAME = "adapter_config.json"
PIECE = bytes(range(256)) * 256
MEMORY_BYTES = 1_000_000


def pieces_of(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return (data[start:end] for start, end in pairwise(at))


def read(pieces: Iterator[bytes] | list[bytes], boundary: bytes = BOUNDARY) -> tuple[str, bytes]:
    """The name and the file's bytes."""
    received = bytearray()
    asset = AssetForm(boundary, received.extend)
    for piece in pieces:
        asset.feed(piece)
    return asset.finish(), bytes(received)


@dataclass(frozen=True)
class Form:
    boundary: bytes
    file_name: str
    data: bytes
    body: bytes


boundaries = st.text("AZaz09'()+_,-./:=?", min_size=1, max_size=70).map(str.encode)
file_names = st.one_of(
    st.sampled_from([NAME, "adapter_model.safetensors", ""]),
    st.text(max_size=60).map(lambda text: text.strip()),
)
other_headers = st.lists(
    st.sampled_from(
        [b"Content-Type: application/octet-stream", b"content-transfer-encoding:binary", b"X-Empty: "]
    ),
    max_size=2,
)


def contents(boundary: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that hold everything but the delimiter itself: its beginnings, line ends, dashes."""
    delimiter = b"\r\n--" + boundary
    likes = [delimiter[:cut] for cut in range(1, len(delimiter))]
    likes += [
        b"\r",
        b"\n",
        b"\r\n",
        b"--",
        b"--" + boundary + b"--\r\n",
        boundary,
        b"\r\r\n",
        b"\n--" + boundary,
    ]
    pieces = st.lists(st.one_of(st.sampled_from(likes), st.binary(max_size=8)), max_size=12)
    return pieces.map(b"".join).filter(lambda data: delimiter not in data)


@st.composite
def heads(draw: st.DrawFn, name: str) -> bytes:
    field = draw(st.sampled_from([b"Content-Disposition", b"content-disposition", b"CONTENT-DISPOSITION"]))
    shown = draw(st.sampled_from([f'name="{name}"', f"name={name}", f'NAME = "{name}"']))
    file = draw(
        st.sampled_from(["", '; filename="x.bin"', "; filename=x", '; filename=""', '; filename="; name=x"'])
    )
    order = [f"; {shown}", file] if draw(st.booleans()) else [file, f"; {shown}"]
    lines = [field + b": form-data" + "".join(order).encode(), *draw(other_headers)]
    return b"\r\n".join(draw(st.permutations(lines)))


@st.composite
def whole_forms(draw: st.DrawFn) -> Form:
    boundary = draw(boundaries)
    inside = contents(boundary)
    file_name, data = draw(file_names), draw(inside)
    assume(b"\r\n--" + boundary not in file_name.encode())
    parts = [(draw(heads("file_name")), file_name.encode()), (draw(heads("file")), data)]
    extra = st.tuples(st.sampled_from(["other", "file2", "File", ""]).flatmap(heads), inside)
    parts = draw(st.permutations([*parts, *draw(st.lists(extra, max_size=3))]))
    body = draw(st.sampled_from([b"", b"\r\n"])) + form(parts, boundary)
    return Form(boundary, file_name, data, body + draw(st.sampled_from([b"", b"\r\n", b"epilogue\r\n--"])))


cuts_in = st.lists(st.integers(0, 3000), max_size=40)


@given(whole_forms(), cuts_in)
def test_any_split_gives_the_same_bytes(whole: Form, cuts: list[int]) -> None:
    assert read(pieces_of(whole.body, cuts), whole.boundary) == (whole.file_name, whole.data)


@given(whole_forms())
def test_byte_by_byte(whole: Form) -> None:
    single = (whole.body[at : at + 1] for at in range(len(whole.body)))
    assert read(single, whole.boundary) == (whole.file_name, whole.data)


FRAGMENTS = [
    b"--" + BOUNDARY,
    b"\r\n--" + BOUNDARY + b"\r\n",
    b"--" + BOUNDARY + b"--",
    b"\r\n\r\n",
    b"\r\n",
    b"\r",
    b":",
    b"\0",
    b";",
    b'"',
    b"=",
    disposition("file"),
    disposition("file_name"),
    b"Content-Disposition: form-data; name*=utf-8''file",
    b"Content-Disposition",
    b"\xff\xfe",
    NAME.encode(),
]


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    body = draw(st.sampled_from([asset_form(NAME, b"{}"), b"", b"".join(FRAGMENTS)]))
    for _ in range(draw(st.integers(1, 6))):
        at, length = draw(st.integers(0, len(body))), draw(st.integers(0, 30))
        put = draw(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=6)))
        body = body[:at] + put + body[at + length :]
    return body


@given(mutilated(), cuts_in)
@example(b"--" + BOUNDARY + b"\r\nContent-Disposition\r\n\r\n", [])
def test_mutilated_forms_are_whole_or_one_error(body: bytes, cuts: list[int]) -> None:
    try:
        name, data = read(pieces_of(body, cuts))
    except IncompleteRequest:
        return
    assert len(name.encode(errors="replace")) <= 3 * FILE_NAME_MAX_BYTES
    assert data in body


@given(st.binary(max_size=300), cuts_in)
def test_any_bytes_are_one_error(body: bytes, cuts: list[int]) -> None:
    with pytest.raises(IncompleteRequest):
        read(pieces_of(body, cuts))


@given(st.integers(0, len(asset_form(NAME, b"{}")) - len(b"-\r\n")))
def test_a_form_cut_short_never_passes(length: int) -> None:
    """Nothing but the two dashes at the end says that the file is whole."""
    with pytest.raises(IncompleteRequest, match=r"part|boundary"):
        read([asset_form(NAME, b"{}")[:length]])


def refusal(body: bytes, boundary: bytes = BOUNDARY) -> str:
    with pytest.raises(IncompleteRequest) as refused:
        read([body], boundary)
    return str(refused.value)


def test_what_is_missing_is_named() -> None:
    name, file = (disposition("file_name"), NAME.encode()), (disposition("file"), b"{}")
    assert "the part file_name of" in refusal(form([file]))
    assert "the part file of" in refusal(form([name]))
    assert "the part file_name and the part file of" in refusal(form([]))
    assert "the form's closing boundary" in refusal(form([name, file], end=b""))
    assert "each once" in refusal(form([name, file, file]))
    assert "each once" in refusal(form([name, name, file]))
    assert f"at most {FILE_NAME_MAX_BYTES} bytes" in refusal(form([(name[0], b"x" * 257), file]))


def test_the_files_own_name_stands_in_for_a_missing_one() -> None:
    """What cf sends, and curl's `-F file=@adapter_config.json` alone."""
    own = (disposition("file", f'; filename="{NAME}"'), b"{}")
    assert read([form([own])]) == (NAME, b"{}")
    said = (disposition("file_name"), b"adapter_model.safetensors")
    for parts in ([said, own], [own, said]):
        assert read([form(parts)]) == ("adapter_model.safetensors", b"{}")
    empty = (disposition("file_name"), b"")
    assert read([form([own, empty])]) == ("", b"{}")


@pytest.mark.parametrize("name", ["", "x" * (FILE_NAME_MAX_BYTES + 1)])
def test_an_own_name_that_is_none_is_missing(name: str) -> None:
    assert "the part file_name of" in refusal(form([(disposition("file", f'; filename="{name}"'), b"{}")]))


def test_the_last_of_many_parts_is_not_read() -> None:
    other = (disposition("other"), b"x")
    parts = [(disposition("file_name"), NAME.encode()), (disposition("file"), b"{}")]
    assert read([form([*[other] * (PARTS_MAX - 2), *parts])]) == (NAME, b"{}")
    assert f"at most {PARTS_MAX} parts" in refusal(form([*[other] * (PARTS_MAX - 1), *parts]))


def test_a_boundary_that_is_too_long() -> None:
    boundary = b"b" * 1000
    assert "multipart/form-data" in refusal(form([], boundary), boundary)


def endless(start: bytes, piece: bytes, count: int = 400) -> Iterator[bytes]:
    yield start
    for _ in range(count):
        yield piece


HEADER_START = b"--" + BOUNDARY + b"\r\n"
ENDLESS: dict[str, Callable[[], Iterator[bytes]]] = {
    "header name": lambda: endless(HEADER_START, b"a" * 65536),
    "header value": lambda: endless(HEADER_START + b"a: ", b"a" * 65536),
    "headers": lambda: endless(HEADER_START, b"a: b\r\n" * 10_000),
    "parts": lambda: endless(b"", (HEADER_START + b"\r\n\r\n") * 2000),
    "named parts": lambda: endless(b"", (HEADER_START + disposition("x" * 3000) + b"\r\n\r\n\r\n") * 20),
    "file_name": lambda: endless(HEADER_START + disposition("file_name") + b"\r\n\r\n", PIECE),
    "other part": lambda: endless(HEADER_START + disposition("other") + b"\r\n\r\n", PIECE),
    "file": lambda: endless(asset_start(NAME), PIECE),
    "look-alikes": lambda: endless(asset_start(NAME), b"\r\n--" + BOUNDARY[:-1] + b"\r", 20_000),
    "line ends before": lambda: endless(b"", b"\r\n" * 32768),
    "bytes behind the end": lambda: endless(asset_form(NAME, b"{}"), PIECE),
}
WHOLE = ("bytes behind the end",)


@pytest.mark.parametrize("what", ENDLESS)
def test_endless_forms_cost_little_memory(what: str) -> None:
    asset = AssetForm(BOUNDARY, lambda data: None)
    tracemalloc.start()
    try:
        for piece in ENDLESS[what]():
            asset.feed(piece)
        asset.finish()
        assert what in WHOLE
    except IncompleteRequest:
        assert what not in WHOLE
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MEMORY_BYTES


def request_of(content_type: str | None) -> Request:
    headers = [] if content_type is None else [(b"content-type", content_type.encode("latin-1"))]
    return Request({"type": "http", "method": "POST", "headers": headers})


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=x", b"x"),
        ('Multipart/Form-Data;charset=utf-8; Boundary="a b;c"', b"a b;c"),
    ],
)
def test_boundaries(content_type: str, boundary: bytes) -> None:
    assert boundary_of(request_of(content_type)) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "multipart/mixed; boundary=x",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary*=utf-8''x",
        "multipart/form-data, boundary=x",
        ";",
        "multipart/form-data;boundary",
        "\xff\xdf\xb2; boundary=x",
    ],
)
def test_what_is_no_form(content_type: str | None) -> None:
    with pytest.raises(IncompleteRequest, match="multipart/form-data with the parts file_name and file"):
        boundary_of(request_of(content_type))


@given(st.text(st.characters(max_codepoint=255), max_size=80).map(lambda text: "multipart/form-data;" + text))
def test_any_content_type(content_type: str) -> None:
    try:
        boundary = boundary_of(request_of(content_type))
        AssetForm(boundary, lambda data: None).feed(b"--" + boundary + b"\r\n")
    except IncompleteRequest:
        pass


def test_the_end_may_come_in_pieces() -> None:
    assert read([asset_start(NAME), b"{}", ASSET_END[:3], ASSET_END[3:-3], ASSET_END[-3:]]) == (NAME, b"{}")
