"""What a browser shows where this server may not answer to the name in its address bar: what to do about it."""

from html import escape
from typing import Final

from starlette.responses import HTMLResponse
from starlette.types import Scope

from app.errors import HostNotAllowed
from app.http.request_values import header, headers

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
HOST_SHOWN_CHARS: Final = 100
PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Outworker: another name</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:4rem auto;padding:0 1rem}}
pre{{background:#eee;color:#111;padding:.75rem;overflow:auto}}</style>
<h1>This server does not answer to this name yet</h1>
<p>You reached an Outworker server as <strong>{host}</strong>, which is not among the names it answers to.
That keeps web pages of other names away from it.</p>
<p>Whoever runs it can add the name: start it with</p>
<pre>HOST=0.0.0.0 ALLOWED_HOSTS={name} make serve</pre>
<p>or write it into <code>server.allowed_hosts</code> of the settings. On the machine itself
<code>http://127.0.0.1</code> with the same port works now.</p>
</html>
"""


def wants_page(scope: Scope) -> bool:
    """Whether a browser asks for a page to show, and no program for data."""
    return scope["method"] in ("GET", "HEAD") and "text/html" in (header(scope, b"accept") or "")


def host_page(scope: Scope) -> HTMLResponse:
    """The same status as the refusal for programs. Markup in the name is text."""
    host = (headers(scope, b"host") or ["an unknown name"])[0][:HOST_SHOWN_CHARS]
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return HTMLResponse(PAGE.format(host=escape(host), name=escape(name)), HostNotAllowed.status, HEADERS)
