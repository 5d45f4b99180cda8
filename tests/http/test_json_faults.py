"""app/http/json_faults.py: valid JSON is read, whatever our parser thinks of it; what is not says where and why."""

import gzip
import json
import zlib
from typing import Any

import pytest

from app.errors import IncompleteRequest
from app.http.body import parse_json
from tests.conftest import CF, HF, Serve

TEXT = "Request is missing headers or body: valid JSON: "


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'{"a": "cut \ud83d"}', {"a": "cut �"}),
        (rb'{"a": "\ude00 \uD83D\uDE00 \uDBFF"}', {"a": "� 😀 �"}),
        (rb'{"a": "\\ud83d"}', {"a": "\\ud83d"}),
        (rb'{"a": "\\\ud83d\""}', {"a": '\\�"'}),
        (rb'{"\udfff": ["\ud83dx", "\ud83d\ud83d\ude00"]}', {"�": ["�x", "�😀"]}),
        (rb'"\ud83d\u0041"', "�A"),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": "\\ud800"}', {"a": "�"}),
        (b'{"a": 1e999, "b": [-1e400, 0.1e310, 1E+309]}', {"a": 1e308, "b": [-1e308, 1e308, 1e308]}),
        (b'{"a": ' + b"9" * 400 + b', "b": -' + b"1" * 310 + b".5}", {"a": 1e308, "b": -1e308}),
        (b"[1e999999999999999999999, " + b"9" * 5000 + b"]", [1e308, 1e308]),
        (
            b'{"1e999": "1e999 \\" 1e999", "a": 1e999, "b": 1e-999, "c": 0e999, "d": 1e300}',
            {"1e999": '1e999 " 1e999', "a": 1e308, "b": 0.0, "c": 0.0, "d": 1e300},
        ),
        (b'["\\ud800", 1e999]', ["�", 1e308]),
        (b"[" + b"1e999," * 5000 + b"1]", [*[1e308] * 5000, 1]),
        (b"1e309", 1e308),
    ],
)
def test_valid_json_that_a_parser_does_not_take(body: bytes, value: Any) -> None:
    assert parse_json(body) == value


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "the body is empty"),
        (b" \r\n\t", "the body is empty"),
        (b'{"a": 1,}', "line 1, column 8: trailing comma"),
        (b'{\n  "a": [1,\n  2,]\n}', "line 3, column 4: trailing comma"),
        (b"{'a': 1}", "line 1, column 2: single quotes: JSON has double quotes"),
        (b"{\"a\": 'b'}", "line 1, column 7: single quotes: JSON has double quotes"),
        ('{"a": “b”}'.encode(), "line 1, column 7: typographic quotes: JSON has straight ones"),
        (b'{"a": `b`}', "line 1, column 7: backquotes: JSON has double quotes"),
        (b"{a: 1}", "line 1, column 2: a property's name in double quotes was expected"),
        (b'{"a": True}', "line 1, column 7: True is Python: write true"),
        (b'{"a": [None]}', "line 1, column 8: None is Python: write null"),
        (b'{"a": NaN}', "line 1, column 7: NaN is not JSON"),
        (b'{"a": -Infinity}', "line 1, column 8: Infinity is not JSON"),
        (b'{"a": undefined}', "line 1, column 7: undefined is not JSON: write null or leave it out"),
        (b'// yes\n{"a": 1}', "line 1, column 1: JSON has no comments"),
        (b'{"a": 1} # yes', "line 1, column 10: JSON has no comments"),
        (b'{"a": 1', "line 1, column 8: it ends too early: a quote, a bracket or a brace is not closed"),
        (b'{"a": "b', "line 1, column 9: it ends too early: a quote, a bracket or a brace is not closed"),
        (
            b'{"a": "b\nc"}',
            "line 1, column 9: a line break or another control character inside a text: write \\n",
        ),
        (b'{"a": 1}\n{"a": 2}', "line 2, column 1: something follows the value: one body is one JSON value"),
        (b'{"a" 1}', "line 1, column 6: unexpected character, expected ':' after key"),
        (b'{"a": 01}', "line 1, column 7: number with leading zero is not allowed"),
        (b'{"a": 1e999,}', "line 1, column 12: trailing comma"),
        (b'{"a": 1e999, "b": 01}', "line 1, column 19: number with leading zero is not allowed"),
        (
            b'{"a": 1e999 1e999}',
            "line 1, column 13: unexpected character, expected ',' or '}'",
        ),
        (b"[-]", "line 1, column 3: no digit after sign"),
        ('{"ä": tru}'.encode(), "line 1, column 7: invalid literal, expected 'true'"),
        (b'\xef\xbb\xbf{"a": 1,}', "line 1, column 8: trailing comma"),
        (b'{"a": "\\ud83d",}', "line 1, column 15: trailing comma"),
        (gzip.compress(b'{"a": 1}', mtime=0), "the body is gzip: send it plain"),
        (zlib.compress(b'{"a": 1}'), "the body is deflate: send it plain"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "the body is zstd: send it plain"),
        ('{"a": 1}'.encode("utf-16"), "the body is UTF-16 or UTF-32: send UTF-8"),
        ('{"a": 1}'.encode("utf-16-be"), "the body is UTF-16 or UTF-32: send UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), "the body is UTF-16 or UTF-32: send UTF-8"),
        ('{"a": 1}'.encode("utf-32"), "the body is UTF-16 or UTF-32: send UTF-8"),
        (b'{"a": "\xe4"}', "byte 0xe4 at position 7 is not UTF-8: send the body as plain UTF-8"),
        (b'{"a": "\xed\xa0\xbd"}', "byte 0xed at position 7 is not UTF-8: send the body as plain UTF-8"),
        (b"prompt=hi&max_tokens=5", "the body is a form: send JSON"),
        (b"prompt=hi", "the body is a form: send JSON"),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
            "the body is a multipart form: send JSON",
        ),
        (b"<prompt>hi</prompt>", "the body is markup"),
        (b"%7B%22a%22%3A1%7D", "the body is percent-encoded: send it plain"),
        (b"hello", "line 1, column 1: unexpected character, expected a JSON value"),
    ],
)
def test_what_is_not_json_says_where_and_why(body: bytes, why: str) -> None:
    with pytest.raises(IncompleteRequest) as refused:
        parse_json(body)
    assert str(refused.value) == TEXT + why


ROUTES = {
    f"/client/v4/accounts/local/ai/run/{HF}": b'"prompt": "a \\ud83d"',
    "/client/v4/accounts/local/ai/run": b'"model": "%b", "input": {"prompt": "a \\ud83d"}' % HF.encode(),
    "/client/v4/accounts/local/ai/v1/chat/completions": (
        b'"model": "%b", "messages": [{"role": "user", "content": "\\ud83d"}]' % HF.encode()
    ),
    "/client/v4/accounts/local/ai/v1/completions": b'"model": "%b", "prompt": "\\ud83d"' % HF.encode(),
    "/client/v4/accounts/local/ai/v1/responses": b'"model": "%b", "input": "\\ud83d"' % HF.encode(),
    "/client/v4/accounts/local/ai/v1/messages": (
        b'"model": "%b", "max_tokens": 8, "messages": [{"role": "user", "content": "\\ud83d"}]' % HF.encode()
    ),
    "/client/v4/accounts/local/ai/finetunes": b'"model": "%b", "name": "x", "description": "\\ud83d"'
    % CF.encode(),
}


@pytest.mark.anyio
@pytest.mark.parametrize("path", ROUTES)
async def test_on_every_route_that_reads_json(serve: Serve, path: str) -> None:
    async with serve() as served:
        read = await served.client.post(path, content=b"\xef\xbb\xbf{" + ROUTES[path] + b"}")
        assert read.status_code == 200, read.text
        refused = await served.client.post(path, content=b"{" + ROUTES[path] + b",}")
        assert refused.status_code == 400
        assert "valid JSON: line 1, column " in json.dumps(refused.json())
        assert "trailing comma" in refused.text
