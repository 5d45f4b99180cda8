"""The table of operations: what each route and method is for, what it takes and what it answers.

A route that is not here is not in the document, and a test fails. Names are those of `schemas/openapi.schema.json`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from types import MappingProxyType

from app.http.openapi.error_responses import Shape
from app.http.routes.status import BELOW_ACCOUNT

CLIENT = "/client/v4"
ACCOUNT = f"{CLIENT}/accounts/{{account_id}}"
RUN_STATUSES = (404, 405, 408, 413, 429)
PAGES = ("Page", "PerPage")
SEARCH = (
    "Task",
    "Author",
    "Source",
    "Search",
    "HideExperimental",
    "IncludeDeprecated",
    "Format",
    "Page",
    "PerPage",
)


class Envelope(Enum):
    """What stands around an answer: nothing, or the envelope with one, several or a page of several as `result`."""

    NONE = "none"
    ONE = "one"
    LIST = "list"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class Answer:
    """200 with the schema `name`, or with `instead` where the query asks for that.

    `events` names the schema of a stream's events, where there is a stream.
    """

    name: str
    envelope: Envelope = Envelope.NONE
    instead: str | None = None
    events: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """`body` names the schema of the request's body; `statuses` are those of errors that not every route has.

    `unready` names the schema of a 503. Without an `answer` the operation only refuses.
    """

    tag: str
    summary: str
    answer: Answer | None
    body: str | None = None
    media_type: str = "application/json"
    parameters: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    failures: Shape = Shape.ENVELOPE
    unready: str | None = None


Table = Mapping[tuple[str, str], Operation]
"""By path, without a slash at its end, and method."""


def _text() -> Table:
    native = Answer("TextResult", Envelope.ONE, events="TextEvent")
    return {
        (f"{ACCOUNT}/ai/run", "POST"): Operation(
            "Text generation",
            "Run a model that the body names",
            native,
            "RunBody",
            parameters=("Lora", "Details"),
            statuses=RUN_STATUSES,
        ),
        (f"{ACCOUNT}/ai/run/{{model}}", "POST"): Operation(
            "Text generation",
            "Run a model",
            native,
            "TextInput",
            parameters=("Model", "Lora", "Details"),
            statuses=RUN_STATUSES,
        ),
    }


def _other_apis() -> Table:
    bodies = {
        "chat/completions": ("OpenAI's chat completions", "ChatBody", Answer("Chat", events="ChatEvent")),
        "completions": (
            "OpenAI's completions",
            "CompletionBody",
            Answer("Completion", events="CompletionEvent"),
        ),
        "responses": ("OpenAI's responses", "ResponsesBody", Answer("Response", events="ResponsesEvent")),
        "messages": ("Anthropic's messages", "MessagesBody", Answer("Message", events="MessagesEvent")),
        "messages/count_tokens": ("Tokens of such a message", "MessagesCount", Answer("MessageTokens")),
        "responses/input_tokens": ("Tokens of a response's input", "ResponsesBody", Answer("ResponseTokens")),
    }
    posts = {
        (f"{ACCOUNT}/ai/v1/{path}", "POST"): Operation(
            "Other APIs",
            summary,
            answer,
            body,
            statuses=RUN_STATUSES,
            failures=Shape.ANTHROPIC if path.startswith("messages") else Shape.OPENAI,
        )
        for path, (summary, body, answer) in bodies.items()
    }
    lists = {
        (f"{ACCOUNT}/ai/v1/models", "GET"): Operation(
            "Other APIs", "OpenAI's list of models", Answer("OpenAiModels"), failures=Shape.OPENAI
        ),
        (f"{ACCOUNT}/ai/v1/models/{{model}}", "GET"): Operation(
            "Other APIs",
            "One of OpenAI's list of models",
            Answer("OpenAiModel"),
            parameters=("Model",),
            failures=Shape.OPENAI,
        ),
    }
    return {**posts, **lists}


def _finetunes() -> Table:
    root, one, tag = f"{ACCOUNT}/ai/finetunes", f"{ACCOUNT}/ai/finetunes/{{finetune}}", "Finetunes"
    whole = Answer("WholeFinetune", Envelope.ONE)
    return {
        (root, "GET"): Operation(
            tag, "The account's own", Answer("Finetune", Envelope.LIST), parameters=PAGES
        ),
        (root, "POST"): Operation(
            tag, "Begin one: its two files come next", whole, "NewFinetune", statuses=(405, 408, 413, 507)
        ),
        (f"{root}/public", "GET"): Operation(
            tag,
            "Public ones of every account",
            Answer("Finetune", Envelope.LIST),
            parameters=("Limit", "Offset", "OrderBy"),
        ),
        (one, "GET"): Operation(tag, "One by id or name", whole, parameters=("Finetune",)),
        (one, "DELETE"): Operation(
            tag,
            "Delete one",
            Answer("DeletedFinetune", Envelope.ONE),
            parameters=("Finetune",),
            statuses=(507,),
        ),
        (f"{one}/finetune-assets", "POST"): Operation(
            tag,
            "Upload a file; the second one completes and checks it",
            Answer("Asset", Envelope.ONE),
            "AssetForm",
            "multipart/form-data",
            parameters=("Finetune",),
            statuses=(408, 413, 429, 507),
        ),
    }


def _catalogue() -> Table:
    tag = "Catalog"
    return {
        (f"{ACCOUNT}/ai/models/search", "GET"): Operation(
            tag,
            "Models that are served",
            Answer("ModelCard", Envelope.PAGE, "OpenRouterModels"),
            parameters=SEARCH,
        ),
        (f"{ACCOUNT}/ai/models/schema", "GET"): Operation(
            tag,
            "What a model takes and gives",
            Answer("ModelSchema", Envelope.ONE),
            parameters=("ModelInQuery", "Details"),
        ),
        (f"{ACCOUNT}/ai/tasks/search", "GET"): Operation(
            tag, "Tasks of the models", Answer("Task", Envelope.PAGE)
        ),
        (f"{ACCOUNT}/ai/authors/search", "GET"): Operation(
            tag, "Authors of the models", Answer("Author", Envelope.PAGE)
        ),
    }


def _accounts() -> Table:
    tag = "Account"
    return {
        (f"{CLIENT}/accounts", "GET"): Operation(
            tag, "The token's account", Answer("Account", Envelope.PAGE), parameters=PAGES
        ),
        (f"{CLIENT}/memberships", "GET"): Operation(
            tag, "The token's membership", Answer("Membership", Envelope.PAGE), parameters=PAGES
        ),
        (f"{CLIENT}/user", "GET"): Operation(tag, "Whose token it is", Answer("User", Envelope.ONE)),
        (f"{CLIENT}/user/tokens/verify", "GET"): Operation(
            tag, "Whether the token works", Answer("TokenStatus", Envelope.ONE)
        ),
        (f"{ACCOUNT}/tokens/verify", "GET"): Operation(
            tag, "Whether the token works for this account", Answer("TokenStatus", Envelope.ONE)
        ),
    }


def _binding() -> Table:
    tag, proxy = "Binding of a Worker", f"{ACCOUNT}/ai/run/proxy"
    answer = Answer("TextResult", events="TextEvent")
    models = Answer("ModelCard", Envelope.PAGE, "OpenRouterModels")
    table: dict[tuple[str, str], Operation] = {}
    for path in ("/run", "/ai-gateway/run"):
        table[path, "GET"] = Operation(tag, "A web socket, which is refused", None, failures=Shape.BINDING)
        table[path, "POST"] = Operation(
            tag,
            "Run a model that the header names",
            answer,
            "BindingBody",
            parameters=("ModelInHeader",),
            statuses=RUN_STATUSES,
            failures=Shape.BINDING,
        )
    table["/ai-api/models/search", "GET"] = Operation(
        tag, "Models that are served", models, parameters=SEARCH
    )
    table[proxy, "GET"] = Operation(
        tag, "What wrangler 3 forwards: a search of models", models, parameters=("Forwarded",)
    )
    table[proxy, "POST"] = Operation(
        tag,
        "What wrangler 3 forwards: a run",
        answer,
        "BindingBody",
        parameters=("Forwarded", "ModelInHeader"),
        statuses=RUN_STATUSES,
        failures=Shape.BINDING,
    )
    return table


def _server() -> Table:
    tag = "Server"
    return {
        ("/health", "GET"): Operation(tag, "Whether the process answers", Answer("Health")),
        ("/ready", "GET"): Operation(
            tag, "Whether every engine can serve", Answer("Readiness"), unready="Readiness"
        ),
        **{
            (ACCOUNT + path, "GET"): Operation(
                tag,
                "Whether every engine can serve, for load generators",
                Answer("Readiness"),
                unready="Readiness",
            )
            for path in BELOW_ACCOUNT
        },
        ("/openapi.json", "GET"): Operation(tag, "This document", Answer("Document")),
        ("/playground/token", "POST"): Operation(
            tag,
            "The development token, for the one-time code of a link that the terminal showed",
            Answer("PageToken", Envelope.ONE),
            "PageCode",
            statuses=(400, 401, 408, 413),
        ),
    }


def operations() -> Table:
    """Everything that is described."""
    parts = (_text(), _other_apis(), _finetunes(), _catalogue(), _accounts(), _binding(), _server())
    return MappingProxyType(dict(chain.from_iterable(part.items() for part in parts)))
