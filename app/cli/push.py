"""`outworker adapter push`: send a folder to a server and say how to call what came of it."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.adapters.inspection.config import CONFIG_MAX_BYTES
from app.adapters.inspection.inspector import missing_files
from app.adapters.inspection.safetensors_header import WEIGHTS_FILE_LIMIT_BYTES
from app.cli.api_client import FinetunesClient
from app.cli.api_responses import Finetune, ServerRefused
from app.cli.remote import Remote
from app.errors import AdapterRefused, OperatorError
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.program import program

INSPECTION_CODE = 3030
INTERRUPTED = 130
FINDINGS_KEPT = 20  # a server keeps no more of them


def push(
    folder: Path, remote: Remote, *, model: str, name: str, description: str, public: bool, replace: bool
) -> int:
    """The exit status. Raises `OperatorError`; of a refused adapter it has a line for every finding."""
    files = adapter_files(folder)
    draft: Finetune | None = None
    with remote.client() as client:
        try:
            draft = client.create(
                model=model, name=name, description=description, public=public, replace=replace
            )
            notes = _send(client, draft, files)
            print(_told(client, draft, notes))
        except KeyboardInterrupt:
            print(f"outworker: interrupted; {_withdraw(client, draft)}", file=sys.stderr)
            return INTERRUPTED
    print(f"\n{curl_line(remote, model, name)}")
    return 0


def adapter_files(folder: Path) -> tuple[Path, Path]:
    """The two files of an adapter, the small one first. Raises `OperatorError` for what no server would take."""
    config, weights = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    try:
        if not folder.is_dir():
            raise OperatorError(f"{folder}: is not a folder; give the one that holds {CONFIG_FILE}")
        if absent := missing_files(folder):
            raise AdapterRefused("\n".join(f"{folder}: {line}" for line in absent))
        for path, limit in ((config, CONFIG_MAX_BYTES + 1), (weights, WEIGHTS_FILE_LIMIT_BYTES)):
            if (size := path.stat().st_size) >= limit:
                raise AdapterRefused(
                    f"{path}: has {size} bytes, must have fewer than {limit}; train a smaller one"
                )
    except OSError as error:
        raise OperatorError(f"{folder}: {error.strerror}; the folder must be readable") from error
    return config, weights


def curl_line(remote: Remote, model: str, name: str) -> str:
    """What a person pastes to hear the adapter; the token is read where it is kept."""
    body = json.dumps({"prompt": "What is Outworker?", "lora": name, "stream": True})
    url = f"{remote.api}/accounts/{remote.account}/ai/run/{model}"
    return (
        f"curl -N {shlex.quote(url)} \\\n"
        f'  -H "Authorization: Bearer {remote.token_in_shell}" \\\n'
        f"  -d {shlex.quote(body)}"
    )


def _send(client: FinetunesClient, draft: Finetune, files: Sequence[Path]) -> tuple[str, ...]:
    """The notes of a finetune that is ready now."""
    try:
        with _progress(sum(path.stat().st_size for path in files)) as on_bytes:
            for path in files:
                upload = client.upload_asset(draft.id, path, on_bytes)
    except ServerRefused as refused:
        if refused.code != INSPECTION_CODE:
            raise
        raise _with_findings(client, draft, refused) from refused
    if upload.state != "ready":
        raise OperatorError(f"{draft.name}: is {upload.state} though both files are sent; push it again")
    return upload.notes


def _with_findings(client: FinetunesClient, draft: Finetune, refused: ServerRefused) -> OperatorError:
    """The refusal with every finding that the server kept; as it was when it tells none."""
    try:
        findings = client.show(draft.id).findings
    except OperatorError:
        return refused
    if not findings:
        return refused
    more = [f"`{program()} adapter check` prints all of them"] if len(findings) >= FINDINGS_KEPT else []
    count = f"{len(findings)} finding{'s' * (len(findings) > 1)}"
    return AdapterRefused("\n".join([f"{draft.name}: refused by the server, {count}", *findings, *more]))


def _told(client: FinetunesClient, draft: Finetune, notes: Sequence[str]) -> str:
    """Fields one per line; a server that can't show one finetune leaves its rank unsaid."""
    try:
        rank = client.show(draft.id).rank
    except OperatorError:
        rank = None
    fields = [("id", draft.id), ("name", draft.name), ("model", draft.model)]
    fields += [("rank", str(rank))] if rank is not None else []
    return "\n".join(f"{key:<6} {value}" for key, value in [*fields, *(("note", note) for note in notes)])


def _withdraw(client: FinetunesClient, draft: Finetune | None) -> str:
    """Delete what was sent, unless it is already ready: with --replace another one has gone for it."""
    if draft is None:
        return "no file was sent"
    try:
        if client.show(draft.id).state == "ready":
            return f"{draft.name} was complete and is ready; `{program()} adapter rm` removes it"
        client.delete(draft.id)
    except OperatorError:
        return f"what was sent of {draft.name} stays on the server until it expires"
    return f"what was sent of {draft.name} is deleted"


@contextmanager
def _progress(total_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error where that is a terminal; it is gone when it ends."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console  # noqa: PLC0415  only for a person who watches
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("sending", total=total_bytes)

        def on_bytes(count: int) -> None:
            progress.advance(task, count)
            if progress.finished:
                progress.update(task, description="being checked")

        yield on_bytes
