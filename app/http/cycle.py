"""The answer to a request of HTTP/1.0: what has no length ends with the connection, for 1.0 knows no chunks."""

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class OldCycle(RequestResponseCycle):
    """uvicorn writes chunks to everyone; a client of HTTP/1.0 would take their sizes for content (RFC 9112, 6.1)."""

    _open_ended = False

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            self._open_ended = b"content-length" not in names
            if self._open_ended:
                self.chunked_encoding = False
        elif self._open_ended and message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
