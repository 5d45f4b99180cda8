"""Web pages of other origins, as the settings name them."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response


class Cors(CORSMiddleware):
    """Starlette's, which tells a page that it refuses that it may reach a private network all the same."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code >= 400:
            del response.headers["access-control-allow-private-network"]
        return response
