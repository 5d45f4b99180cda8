"""Multipart forms made by hand: what no client library would send must be writable here."""

import json

from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from tests.adapters.make import Adapter

BOUNDARY = b"b0undary"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"
CLOSING = b"--" + BOUNDARY + b"--\r\n"

Parts = list[tuple[bytes, bytes]]


def disposition(name: str, more: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}'.encode()


def asset_parts(file_name: str | bytes, data: bytes) -> Parts:
    """The two parts that an upload has, each with its headers and its bytes."""
    text = file_name.encode() if isinstance(file_name, str) else file_name
    return [(disposition("file_name"), text), (disposition("file", '; filename="f"'), data)]


def form(parts: Parts, boundary: bytes = BOUNDARY, end: bytes = b"--\r\n") -> bytes:
    """The body; `end` follows the last boundary."""
    pieces = [b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts]
    return b"".join(pieces) + b"--" + boundary + end


def asset_form(file_name: str | bytes, data: bytes) -> bytes:
    return form(asset_parts(file_name, data))


def asset_start(file_name: str) -> bytes:
    """A form up to the first byte of `file`."""
    whole = asset_form(file_name, b"")
    return whole[: whole.rindex(b"\r\n--" + BOUNDARY)]


ASSET_END = b"\r\n" + CLOSING


def files_of(adapter: Adapter) -> dict[str, bytes]:
    """The two assets, by name."""
    config = json.dumps(adapter.config).encode() if adapter.config_data is None else adapter.config_data
    return {CONFIG_FILE: config, WEIGHTS_FILE: adapter.weights()}
