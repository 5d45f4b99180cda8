"""A multipart form of two parts, `file_name` and `file`, read as it arrives and in either order.

Without `file_name`, which is optional in Cloudflare's API, the name is what the part `file` calls itself.
"""

from collections.abc import Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from app.errors import IncompleteRequest

FILE = "file"
FILE_NAME = "file_name"
FILE_NAME_MAX_BYTES = 256
PARTS_MAX = 16
CONTENT_TYPE_MAX_CHARS = 1_000
EXPECTED = f"multipart/form-data with the parts {FILE_NAME} and {FILE}"


def boundary_of(request: Request) -> bytes:
    """Raises `IncompleteRequest` for a request that is no multipart form."""
    kind, options = parse_options_header(request.headers.get("content-type", "")[:CONTENT_TYPE_MAX_CHARS])
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise IncompleteRequest(EXPECTED)
    return boundary


class AssetForm:
    """Fed with the body piece by piece: the bytes of `file` go to `sink`, the text of `file_name` is kept.

    Other parts are skipped. What the parser holds back is bounded by the boundary's length.
    """

    def __init__(self, boundary: bytes, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        self._seen: list[str] = []
        self._part: str | None = None
        self._file_name = bytearray()
        self._own_name: bytes | None = None
        self._header = bytearray()
        self._value = bytearray()
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": self._header_goes_on,
                    "on_header_value": self._value_goes_on,
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise IncompleteRequest(EXPECTED) from None

    def feed(self, data: bytes) -> None:
        """Raises `IncompleteRequest`, and what `sink` raises."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise IncompleteRequest(EXPECTED) from None

    def finish(self) -> str:
        """The asset's name, once the whole body was fed. Raises `IncompleteRequest` when something lacks."""
        if FILE_NAME not in self._seen and self._own_name is not None:
            self._seen.append(FILE_NAME)
            self._file_name += self._own_name
        missing = [name for name in (FILE_NAME, FILE) if name not in self._seen]
        if missing or not self._ended:
            what = f"the part {' and the part '.join(missing)}" if missing else "the form's closing boundary"
            raise IncompleteRequest(f"{what} of a {EXPECTED}")
        return self._file_name.decode(errors="replace").strip()

    def _part_begins(self) -> None:
        self._part = None
        if len(self._seen) >= PARTS_MAX:
            raise IncompleteRequest(f"{EXPECTED}, at most {PARTS_MAX} parts")

    def _header_goes_on(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _value_goes_on(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._part = options.get(b"name", b"").decode(errors="replace")
            if self._part == FILE:
                self._own_name = _bounded(options.get(b"filename"))
        self._header.clear()
        self._value.clear()

    def _headers_end(self) -> None:
        name = self._part or ""
        if name in (FILE, FILE_NAME) and name in self._seen:
            raise IncompleteRequest(f"{EXPECTED}, each once")
        self._seen.append(name)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part == FILE:
            self._sink(data[start:end])
        elif self._part == FILE_NAME:
            self._file_name += data[start:end]
            if len(self._file_name) > FILE_NAME_MAX_BYTES:
                raise IncompleteRequest(
                    f"{EXPECTED}; {FILE_NAME} must have at most {FILE_NAME_MAX_BYTES} bytes"
                )

    def _end(self) -> None:
        self._ended = True


def _bounded(name: bytes | None) -> bytes | None:
    """None for what can't be a name of an asset."""
    return name if name and len(name) <= FILE_NAME_MAX_BYTES else None
