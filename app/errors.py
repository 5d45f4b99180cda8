"""Every error the server can answer with, and the one that ends the program.

    Exception
    ├── OperatorError             one line on the terminal, exit code 2
    │   ├── SettingsError         a settings file says something that can't be
    │   ├── StartupError          weights, engine, port: the server can't start
    │   ├── EngineLost            an engine that served can't go on: exit code 1, for a supervisor to act
    │   ├── StorageError          the data directory can't take what it should
    │   ├── AdapterRefused        an adapter's files break a rule; names file, tensor, rule and number
    │   ├── PullFailed            weights can't be downloaded: network, token, disk, checksum (app.weights.hub_errors)
    │   ├── ServerRefused         a server that a command talks to answered an error (app.cli.api_responses)
    │   └── ForeignAnswer         ... or what this API doesn't answer (app.cli.api_responses)
    └── ApiError                  the envelope with `code` and HTTP `status`
        ├── PlatformError         before the model layer: `result` is null, no request id
        │   ├── AuthenticationFailed    10000  401
        │   ├── PageCodeRefused         10000  401
        │   ├── PermissionMissing       10000  403
        │   ├── CredentialsMissing       9106  400
        │   ├── CredentialsMalformed     9106  400
        │   ├── NoSuchObject             7003  404
        │   ├── NoRoute                  7000  400
        │   ├── MethodNotAllowed         7001  405
        │   ├── MalformedHttp            7002  400
        │   ├── HostNotAllowed           7004  421
        │   ├── HeadersTooLarge          7005  431
        │   ├── TransferCodingUnknown    7006  501
        │   └── TooManyConnections       7007  503
        └── AiError               the model layer: `result` is {}, text ends in the request id
            ├── BadInput                 5006  400
            ├── NoSuchModel              5007  400
            ├── IncompleteRequest        3003  400
            ├── RequestTooLarge          3006  413
            ├── ContextExceeded          5021  413
            ├── FinetuneNotFound         5033  404
            ├── LoraUnsupported          5005  405
            ├── LoraIncompatible         3030  400
            ├── FinetuneRefused          3030  400
            ├── FinetuneIncomplete       3039  400
            ├── FinetuneNotCreated       5090  400
            ├── AssetNotTaken            5091  400
            ├── InsufficientStorage      5092  507
            ├── JsonModeUnmet            5024  400
            ├── RequestTimeout           3007  408
            ├── RequestAborted           3008  408
            ├── OutOfCapacity            3040  429  with Retry-After
            └── InternalError            3043  500
                └── EngineDied           3043  500

Codes, HTTP statuses and names are Workers AI's (protocol notes, section 4); 5090 to 5092 and 7001 to 7007 are ours
where Workers AI's public record has none. Texts of leaves say the rule and the number; nothing a client sent is echoed
except names of models, finetunes and properties and enum values, cleaned by `printable`.
"""

from collections.abc import Iterable
from typing import ClassVar

ECHO_MAX_CHARS = 200


def printable(text: str, max_chars: int = ECHO_MAX_CHARS) -> str:
    """User text fit for an error: control characters and lone surrogates removed, at most `max_chars` long."""
    clean = "".join(c for c in text[: max_chars + 1] if c.isprintable())
    return clean if len(text) <= max_chars else clean[:max_chars] + "…"


class OperatorError(Exception):
    """What the person at the terminal must change. `str()` is one line: what is wrong and how to mend it."""


class SettingsError(OperatorError):
    """Names the file, the key, what was expected and what was found."""


class StartupError(OperatorError):
    """Weights, engine or port: says what is missing and which setting or command mends it."""


class EngineLost(OperatorError):
    """An engine served and can't any more, whatever this server does: says which and why."""


class StorageError(OperatorError):
    """No room or no permission in the data directory: says which.

    A client may read `str()`. `figures` are for the operator: how large the disk is is nobody else's business.
    """

    def __init__(self, text: str, figures: str = "") -> None:
        super().__init__(text)
        self.figures = figures


class NoRoom(OperatorError):
    """The account has an adapter of that name, or as many as it may have."""


class AdapterRefused(OperatorError):
    """Names the file or tensor, the rule and the number. `findings` has a line for each rule that is broken."""

    def __init__(self, *findings: str) -> None:
        more = len(findings) - 1
        super().__init__(findings[0] + (f" (and {more} more)" if more else ""))
        self.findings = findings


class ApiError(Exception):
    """An answer in the envelope. `str()` is the description without prefix and request id."""

    code: ClassVar[int]
    status: ClassVar[int]

    def message(self, request_id: str) -> str:
        """The text of `errors[0].message`."""
        return str(self)


class PlatformError(ApiError):
    """Raised before the model layer is reached."""


class AuthenticationFailed(PlatformError):
    """Unknown or revoked token, or a token of another account."""

    code, status = 10000, 401

    def __init__(self) -> None:
        super().__init__("Authentication error")


class PageCodeRefused(PlatformError):
    """A one-time code of the page's link that is unknown, used or too old."""

    code, status = 10000, 401

    def __init__(self) -> None:
        super().__init__(
            "This link was used already or is too old: `outworker page` prints a new one, "
            "or paste the token that dev-token in the data directory holds"
        )


class PermissionMissing(PlatformError):
    """A valid token without the scope that the route needs."""

    code, status = 10000, 403

    def __init__(self, scope: str) -> None:
        super().__init__(f"Authentication error: this token lacks the scope {scope}")


class CredentialsMissing(PlatformError):
    """No Authorization header."""

    code, status = 9106, 400

    def __init__(self) -> None:
        super().__init__("Missing X-Auth-Key, X-Auth-Email or Authorization headers")


class CredentialsMalformed(PlatformError):
    """An Authorization header that is not `Bearer <token>`."""

    code, status = 9106, 400

    def __init__(self) -> None:
        super().__init__("Authentication failed (status: 400)")


class NoSuchObject(PlatformError):
    """An account id that can't be one, or a path below an account that no route has."""

    code, status = 7003, 404

    def __init__(self, path: str) -> None:
        super().__init__(f"Could not route to {printable(path)}, perhaps your object identifier is invalid?")


class NoRoute(PlatformError):
    """A path that no route has."""

    code, status = 7000, 400

    def __init__(self) -> None:
        super().__init__("No route for that URI")


class MethodNotAllowed(PlatformError):
    """A known path with another method. `allowed` are those that it has."""

    code, status = 7001, 405

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        super().__init__(f"Method {printable(method, 16)} not available for that URI.")
        self.allowed = tuple(allowed)


class HostNotAllowed(PlatformError):
    """A Host header outside `allowed_hosts` (DNS rebinding)."""

    code, status = 7004, 421

    def __init__(self) -> None:
        super().__init__(
            "The Host header names no host of this server: add it to server.allowed_hosts, or start it with ALLOWED_HOSTS"
        )


class MalformedHttp(PlatformError):
    """Bytes that are no HTTP/1.1 request. The text says why, in words that are not the sender's."""

    code, status = 7002, 400

    def __init__(self, why: str = "send HTTP/1.1") -> None:
        super().__init__(f"Invalid HTTP request: {why}")


class HeadersTooLarge(PlatformError):
    """A request head over the limit in bytes."""

    code, status = 7005, 431

    def __init__(self, max_header_bytes: int) -> None:
        super().__init__(f"The request's headers must be at most {max_header_bytes} bytes")


class TransferCodingUnknown(PlatformError):
    """A Transfer-Encoding beside exactly `chunked`: where such a body ends is not known."""

    code, status = 7006, 501

    def __init__(self) -> None:
        super().__init__("Transfer-Encoding must be chunked and nothing else: send the body plain")


class TooManyConnections(PlatformError):
    """A connection for which there is no room. `bound` says which number is reached."""

    code, status = 7007, 503

    def __init__(self, bound: str) -> None:
        super().__init__(f"Too many connections: {bound}. Close some, or try again")


class AiError(ApiError):
    """An error of the model layer: `AiError: <name>: <description> (<request id>)`."""

    name: ClassVar[str]

    def message(self, request_id: str) -> str:
        return f"AiError: {self.name}: {self} ({request_id})"


class BadInput(AiError):
    """A body that the card's schema or the typed second pass refuses. Text: `Error: <what, in the validator's words>`.

    `path` is the field at fault where the text does not name it, or not as the client does.
    """

    code, status, name = 5006, 400, "Bad input"

    def __init__(self, text: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.path = path


class NoSuchModel(AiError):
    """A model name that no card has."""

    code, status, name = 5007, 400, "No such model"

    def __init__(self, model: str) -> None:
        super().__init__(f"No such model {printable(model)} or task")


class IncompleteRequest(AiError):
    """A missing or unreadable body."""

    code, status, name = 3003, 400, "Incomplete request"

    def __init__(self, what: str) -> None:
        super().__init__(f"Request is missing headers or body: {what}")


class RequestTooLarge(AiError):
    """A body over the limit in bytes, or in values of JSON."""

    code, status, name = 3006, 413, "Request too large"

    def __init__(self, limit: int, what: str = "the body must be at most", unit: str = "bytes") -> None:
        super().__init__(f"Request is too large: {what} {limit} {unit}")


class ContextExceeded(AiError):
    """More tokens than the card allows: the text names the count and the limit."""

    code, status, name = 5021, 413, "Ai"


class FinetuneNotFound(AiError):
    """`lora` names no ready adapter that the caller may use."""

    code, status, name = 5033, 404, "Finetune not found"

    def __init__(self, finetune: str) -> None:
        super().__init__(f"Finetune {printable(finetune)} does not exist or is not accessible")


class LoraUnsupported(AiError):
    """`lora` on a model without LoRA."""

    code, status, name = 5005, 405, "LoRA unsupported"

    def __init__(self, model: str) -> None:
        super().__init__(f"The model {printable(model)} does not support LoRA inference")


class LoraIncompatible(AiError):
    """An adapter trained for other weights than the model's."""

    code, status, name = 3030, 400, "Bad finetune"

    def __init__(self, finetune: str, made_for: str, model: str) -> None:
        name, other = printable(finetune), printable(made_for)
        why = f"other weights of {other} than are served: create it again" if made_for == model else other
        super().__init__(f"Lora not compatible with model: {name} was made for {why}")


class FinetuneRefused(AiError):
    """An adapter whose files break a rule, at its upload or when a request names it. Text: which, and what to change."""

    code, status, name = 3030, 400, "Bad finetune"

    def __init__(self, reason: str) -> None:
        super().__init__(f"Lora not compatible with model: {reason}")


class FinetuneIncomplete(AiError):
    """`lora` names a finetune of which an asset is still missing."""

    code, status, name = 3039, 400, "Finetune missing required files"

    def __init__(self, finetune: str, missing: str) -> None:
        super().__init__(
            "Finetune is missing required files (model.safetensors and config.json): "
            f"upload {missing} to {printable(finetune)}"
        )


class FinetuneNotCreated(AiError):
    """A name that is taken or can't be one, or no room for another finetune."""

    code, status, name = 5090, 400, "Finetune creation failed"


class AssetNotTaken(AiError):
    """An asset of a finetune that takes none any more."""

    code, status, name = 5091, 400, "Finetune asset upload failed"


class InsufficientStorage(AiError):
    """The data directory can't take the bytes."""

    code, status, name = 5092, 507, "Insufficient storage"


class JsonModeUnmet(AiError):
    """A JSON schema or a tool that no grammar can be made of in time, or an answer that does not satisfy it."""

    code, status, name = 5024, 400, "JSON Mode couldn't be met"


class RequestTimeout(AiError):
    """The request's deadline passed."""

    code, status, name = 3007, 408, "Timeout"

    def __init__(self, deadline_s: float) -> None:
        super().__init__(f"Request timeout: not finished within {deadline_s:g} s")


class RequestAborted(AiError):
    """The engine ended the request before it was finished."""

    code, status, name = 3008, 408, "Aborted"

    def __init__(self) -> None:
        super().__init__("Request was aborted")


class OutOfCapacity(AiError):
    """Not ready, queue full or shutting down. `retry_after_s` goes into the Retry-After header."""

    code, status, name = 3040, 429, "Out of capacity"

    def __init__(self, why: str = "", retry_after_s: int = 1) -> None:
        text = "Capacity temporarily exceeded, please try again."
        super().__init__(f"{text} {why}".rstrip())
        self.retry_after_s = retry_after_s


class InternalError(AiError):
    """Ours to mend: the log has the cause, the client only this."""

    code, status, name = 3043, 500, "Internal server error"

    def __init__(self) -> None:
        super().__init__("The server could not answer; its log says why under this request id")


class EngineDied(InternalError):
    """The engine ended under a request. One that has no token yet is asked again when the engine was started again."""
