"""Ways to write one or more requests on a connection: what proxies, clients and attackers send. Data for the oracle.

A shape is bytes with a name. What is right for it is not said here: h11 says it (`tests.http.framing_oracle`).
"""

HOST = b"Host: a\r\n"
GET = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
INNER = b"DELETE /victim HTTP/1.1\r\nHost: a\r\nX: "
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def _post(fields: bytes, body: bytes = b"", line: bytes = b"POST /first HTTP/1.1\r\n") -> bytes:
    return line + HOST + fields + b"\r\n" + body


def _sized(body: bytes, fields: bytes = b"") -> bytes:
    return _post(b"%bContent-Length: %d\r\n" % (fields, len(body)), body)


def _chunks(rest: bytes, fields: bytes = CHUNKED) -> bytes:
    return _post(fields, rest)


def _get(fields: bytes = b"", line: bytes = b"GET /first HTTP/1.1\r\n") -> bytes:
    return line + fields + b"\r\n"


UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "anything": b"connection: upgrade\r\nupgrade: x\r\n",
    "several": b"Upgrade: h2c, TLS/1.0\r\nUpgrade: foo/2\r\nConnection: keep-alive, Upgrade\r\n",
    "empty": b"Connection: Upgrade\r\nUpgrade:\r\n",
    "and close": b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n",
    "in two headers": b"Connection: Upgrade\r\nConnection: close\r\nUpgrade: h2c\r\n",
    "and expect": b"Connection: Upgrade\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n",
    "alone": b"Upgrade: h2c\r\n",
    "named only": b"Connection: upgrade\r\n",
}

_upgrades = {
    shape: data
    for name, fields in UPGRADES.items()
    for shape, data in {
        f"upgrade {name}: no body": _post(fields, line=b"GET /ws HTTP/1.1\r\n") + GET,
        f"upgrade {name}: a body that is a request": _sized(INNER, fields) + GET,
        f"upgrade {name}: chunks that are a request": _chunks(
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(GET), GET), fields + CHUNKED
        )
        + GET,
        f"upgrade {name}: HTTP/1.0": _post(
            fields + b"Content-Length: 3\r\n", b"abc", b"POST /first HTTP/1.0\r\n"
        )
        + GET,
        f"upgrade {name}: length and chunks": _chunks(
            b"0\r\n\r\n", fields + CHUNKED + b"Content-Length: 5\r\n"
        )
        + GET,
        f"upgrade {name}: another coding": _chunks(b"0\r\n\r\n", fields + b"Transfer-Encoding: gzip\r\n")
        + GET,
        f"upgrade {name}: a coding that is none": _chunks(
            b"0\r\n\r\n", b"Transfer-Encoding: c\thunked\r\n" + fields
        )
        + GET,
    }.items()
}

_lines = {
    f"line {line!r}": _get(HOST, line) + GET
    for line in (
        b"GET /a?b=c HTTP/1.1\r\n",
        b"GET /a?b#c HTTP/1.1\r\n",
        b"GET /a%2Fb%00 HTTP/1.1\r\n",
        b"GET //evil/a HTTP/1.1\r\n",
        b"GET http://a/x HTTP/1.1\r\n",
        b"GET HTTP://A/x?y HTTP/1.1\r\n",
        b"GET http://a HTTP/1.1\r\n",
        b"GET http://b/x HTTP/1.1\r\n",
        b"GET http://a@b/x HTTP/1.1\r\n",
        b"GET a/x HTTP/1.1\r\n",
        b"GET * HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"CONNECT a:80 HTTP/1.1\r\n",
        b"GET  /a HTTP/1.1\r\n",
        b"GET /a  HTTP/1.1\r\n",
        b"GET\t/a HTTP/1.1\r\n",
        b"GET /a HTTP/1.1 \r\n",
        b" GET /a HTTP/1.1\r\n",
        b"GET /a b HTTP/1.1\r\n",
        b"GET /a\x00 HTTP/1.1\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\n",
        b"GET /a\x7f HTTP/1.1\r\n",
        b"get /a HTTP/1.1\r\n",
        b"GET /a http/1.1\r\n",
        b"GET /a HTTP/1.2\r\n",
        b"GET /a HTTP/2.0\r\n",
        b"GET /a HTTP/0.9\r\n",
        b"GET /a HTTP/1.10\r\n",
        b"GET /a HTTP/11\r\n",
        b"GET /a\r\n",
        b"GET /a HTTP/1.1\n",
        b"GET /a HTTP/1.1\r\r\n",
        b"SOURCE /a ICE/1.0\r\n",
        b"OPTIONS * RTSP/1.0\r\n",
        b"GET /a RTSP/1.0\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"G\x00T /a HTTP/1.1\r\n",
        b"FROBNICATE /a HTTP/1.1\r\n",
    )
}

_fields = {
    f"header {fields!r}": _get(fields) + GET
    for fields in (
        HOST,
        b"",
        HOST + HOST,
        b"Host: a\r\nHost: b\r\n",
        b"Host:\r\n",
        b"Host : a\r\n",
        b"Host: a\n",
        b" Host: a\r\n",
        HOST + b"X: 1\r\n 2\r\n",
        HOST + b"X: 1\r\n\t2\r\n",
        HOST + b"X:\r\n Content-Length: 5\r\n",
        HOST + b"X\r\n",
        HOST + b": x\r\n",
        HOST + b"X Y: 1\r\n",
        HOST + b"X\x00: 1\r\n",
        HOST + b"X: a\x00b\r\n",
        HOST + b"X: a\x01b\r\n",
        HOST + b"X: a\x7fb\r\n",
        HOST + b"X: a\rb\r\n",
        HOST + b"X: a\rContent-Length: 5\r\n",
        HOST + b"X: a\nContent-Length: 5\r\n",
        HOST + b"X: \xe4\xff\r\n",
        HOST + b"X:  \t a \t \r\n",
        HOST + b"X: a\r\n\r",
        HOST + b"Connection: close\r\n",
        HOST + b"Connection: keep-alive, CLOSE\r\n",
        HOST + b"Connection: close, foo\r\n",
        HOST + b"Connection: clos\r\nConnection: ,close ,\r\n",
        HOST + b"Connection: keep-alive\r\nConnection: close\r\n",
        HOST + b"Connection: closed\r\n",
        HOST + b"TE: trailers, gzip\r\nConnection: TE\r\n",
        HOST + b"Expect: 100-continue\r\n",
        HOST + b"Trailer: Host\r\n",
        HOST + b"Proxy-Connection: close\r\n",
        HOST + b"Transfer-Encoding\x0b: chunked\r\n",
    )
}

_lengths = {
    f"length {value!r}": _post(b"Content-Length:%b\r\n" % value, b"abc") + GET
    for value in (
        b" 3",
        b"3",
        b"\t3 \t",
        b" 003",
        b" 0000000000000000000000003",
        b" +3",
        b" -3",
        b" 3.0",
        b" 0x3",
        b" 3e0",
        b" 3 3",
        b" 3, 3",
        b" 3,4",
        b" 3;a",
        b' "3"',
        b" ",
        b"",
        b" 3\x0b",
        b" \xb3",
        b" \xd9\xa3",  # ARABIC-INDIC DIGIT THREE
        b" 18446744073709551616",
        b" 99999999999999999999999",
        b" 0",
        b" 2",
    )
}

_codings = {
    f"coding {fields!r}": _chunks(b"3\r\nabc\r\n0\r\n\r\n", fields) + GET
    for fields in (
        CHUNKED,
        b"transfer-encoding:chunked\r\n",
        b"Transfer-Encoding: CHUNKED \t\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: chunked,\r\n",
        b"Transfer-Encoding: , chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunkedx\r\n",
        b"Transfer-Encoding: chunked;q=1\r\n",
        b'Transfer-Encoding: "chunked"\r\n',
        b"Transfer-Encoding:\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b" Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding:\r\n chunked\r\n",
        b"Transfer_Encoding: chunked\r\nContent-Length: 15\r\n",
        CHUNKED + CHUNKED,
        CHUNKED + b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: identity\r\n" + CHUNKED,
        CHUNKED + b"Content-Length: 3\r\n",
        b"Content-Length: 3\r\n" + CHUNKED,
        b"Content-Length: 0\r\n" + CHUNKED,
        b"Content-Length: 3\r\nContent-Length: 3\r\n",
        b"Content-Length: 3\r\nContent-Length: 15\r\n",
        b"Content-Length: 15\r\nX: y\r\nContent-Length: 15\r\n",
    )
}

_bodies = {
    f"chunks {rest!r}": _chunks(rest) + GET
    for rest in (
        b"0\r\n\r\n",
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"0003\r\nabc\r\n0000\r\n\r\n",
        b"2\r\n\r\n\r\n0\r\n\r\n",
        b"4\r\n\r\n\r\n\r\n0\r\n\r\n",
        b"7\r\n0\r\n\r\nGE\r\n0\r\n\r\n",
        b"3;a\r\nabc\r\n0;b\r\n\r\n",
        b'3;a=b;c="d e"\r\nabc\r\n0\r\n\r\n',
        b"3;\r\nabc\r\n0\r\n\r\n",
        b"3;a\x00\r\nabc\r\n0\r\n\r\n",
        b"3;a\r\nabc\r\n2;b=c;d\r\n\r\n\r\n0\r\n\r\n",
        b"3;a;;b\r\nabc\r\n0\r\n\r\n",
        b"3;=b\r\nabc\r\n0\r\n\r\n",
        b"3; a = b\r\nabc\r\n0\r\n\r\n",
        b'3;a="b\\"c\\\\"\r\nabc\r\n0;d="e"\r\n\r\n',
        b'3;a="b\r\nabc\r\n0\r\n\r\n',
        b'3;a="b"c\r\nabc\r\n0\r\n\r\n',
        b"3;a\rb\r\nabc\r\n0\r\n\r\n",
        b"3;a\r\r\nabc\r\n0\r\n\r\n",
        b"3;0123456789012345678901234567890=x\r\nabc\r\n0\r\n\r\n",
        b"3;0123456789012345678901234567890=x\nabc\r\n0\r\n\r\n",
        b"3;a\nb\r\nabc\r\n0\r\n\r\n",
        b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n',
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"3 ;a\r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"\r\n3\r\nabc\r\n0\r\n\r\n",
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"3,\r\nabc\r\n0\r\n\r\n",
        b";a\r\nabc\r\n0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabc\r\n0\n\r\n",
        b"3\r\nabc\r\n0\r\n\n",
        b"3\r\rabc\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"4\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n00\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
        b"0000000000000003\r\nabc\r\n0\r\n\r\n",
        b"00000000000000003\r\nabc\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
        b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        b"3\r\nabc\r\n2\r\n\r\n\r\n\r\n0\r\n\r\n",
        b"3\r\nabc\r0\r\n\r\n",
        b"3\r\nabc\r\n\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\n\r\r\n",
        b"3\r\nabc\r\n0\r\nX: y\r\n\n",
        b"3\r\nabc\r\n0\r\nX: y\r\nZ: \x00\r\n\r\n",
        b"3\r\nabc\r\n000000;a\r\nX: y\r\nX: z\r\n\r\n",
        b"1" * 21 + b"\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX: y\r\n\r\n",
        b"3\r\nabc\r\n0\r\nHost: b\r\nAuthorization: Bearer t\r\n\r\n",
        b"3\r\nabc\r\n0\r\nContent-Length: 33\r\n\r\n",
        b"3\r\nabc\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"3\r\nabc\r\n0\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX : y\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX: y\n\r\n",
        b"3\r\nabc\r\n0\r\n X: y\r\n\r\n",
        b"3\r\nabc\r\n",
        b"3\r\nab",
    )
}

_connections = {
    "three at once": GET * 3,
    "sizes at once": _sized(b"abc") + _sized(b"") + _sized(INNER) + GET,
    "chunks, then a size, then none": _chunks(b"1\r\na\r\n0\r\n\r\n") + _sized(b"xyz") + GET,
    "three upgrades, then an ordinary one": _sized(INNER, UPGRADES["h2c"]) * 3 + GET,
    "an upgrade between": GET + _chunks(b"1\r\na\r\n0\r\n\r\n", UPGRADES["anything"] + CHUNKED) + GET,
    "a line break before": b"\r\n" + GET,
    "a line feed before": b"\n" + GET,
    "line breaks between": _sized(b"abc") + b"\r\n\r\n" + GET,
    "a size one too short": _post(b"Content-Length: 2\r\n", b"abc") + GET,
    "a size too long": _post(b"Content-Length: 50\r\n", b"abc") + GET,
    "expect, then the body": _sized(b"abc", b"Expect: 100-continue\r\n") + GET,
    "expect of something else": _sized(b"abc", b"Expect: 200-ok\r\n") + GET,
    "expect in HTTP/1.0": _post(
        b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"abc", b"POST /a HTTP/1.0\r\n"
    ),
    "HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n" + GET,
    "HTTP/1.0, kept": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET,
    "HTTP/1.0 with chunks": b"POST / HTTP/1.0\r\n" + CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\r\n" + GET,
    "closed, then more": _sized(b"abc", b"Connection: close\r\n") + GET,
    "closed, then no HTTP": _sized(b"abc", b"Connection: close\r\n") + b"\x00\x01",
    "GET with a body": _post(b"Content-Length: 3\r\n", b"abc", b"GET /a HTTP/1.1\r\n") + GET,
    "HEAD": _get(HOST, b"HEAD /a HTTP/1.1\r\n") + GET,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "PROXY": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + GET,
    "no HTTP behind a request": GET + b"\x00\x00\r\n\r\n",
}

SHAPES = _upgrades | _lines | _fields | _lengths | _codings | _bodies | _connections
