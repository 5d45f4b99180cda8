"""300 MB through a server: a few megabytes of memory, and none of the work on the event loop's thread."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.adapters import rows
from app.adapters.asset_file import AssetFile
from app.adapters.inspection.safetensors_header import WEIGHTS_FILE_LIMIT_BYTES
from app.adapters.lifecycle import Finetunes
from app.adapters.local_blobs import LocalBlobs
from app.adapters.store import AdapterStore
from app.http.multipart import AssetForm
from app.inference.prompt import PromptBuilder
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.settings import CHECKOUT, Settings
from tests.adapters.make import good
from tests.http.forms import ASSET_END, CONTENT_TYPE, asset_form, asset_start, files_of
from tests.http.uploads import uploads_to
from tests.live.server import HF, LiveServer
from tests.server.test_process import FAKE

PIRATE = CHECKOUT / "adapters" / "pirate"
FILE_BYTES = 299_999_000
FILL_TENSORS = 10
PIECE = bytes(1_000_000)
NAN = b"\x00\x00\xc0\x7f"
MEMORY_BYTES = 32_000_000
FINETUNES = "/client/v4/accounts/local/ai/finetunes"


def large_adapter() -> Iterator[bytes]:
    """The example with ten tensors behind its own that belong to no module; the very last value is NaN."""
    weights = (PIRATE / WEIGHTS_FILE).read_bytes()
    header_bytes = int.from_bytes(weights[:8], "little")
    header, data = json.loads(weights[8 : 8 + header_bytes]), weights[8 + header_bytes :]
    room = (FILE_BYTES - 20_000 - len(weights)) // FILL_TENSORS // 4 * 4
    start = len(data)
    for number in range(FILL_TENSORS):
        header[f"fill.{number}"] = {
            "dtype": "F32",
            "shape": [room // 4],
            "data_offsets": [start, start + room],
        }
        start += room
    text = json.dumps(header).encode()
    yield len(text).to_bytes(8, "little") + text + data
    left = room * FILL_TENSORS - len(NAN)
    while left:
        piece = PIECE[: min(left, len(PIECE))]
        left -= len(piece)
        yield piece
    yield NAN


def status_bytes(process: int, name: str) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    live = LiveServer(tmp_path / "data", FAKE).start().wait_ready()
    yield live
    assert live.stop() == 0


def create(server: LiveServer, name: str) -> str:
    answer = server.client.post(FINETUNES, json={"model": HF, "name": name})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"]["id"])


def upload(server: LiveServer, named: str, content: Any, **headers: str) -> Any:
    path = f"{FINETUNES}/{named}/finetune-assets"
    return server.client.post(path, content=content, headers={"content-type": CONTENT_TYPE} | headers)


@pytest.mark.parametrize("declared", [True, False])
def test_300_megabytes_cost_little_memory(server: LiveServer, declared: bool) -> None:
    config = (PIRATE / CONFIG_FILE).read_bytes()
    small = create(server, "small")
    for file_name in (CONFIG_FILE, WEIGHTS_FILE):
        data = (PIRATE / file_name).read_bytes()
        assert upload(server, small, asset_form(file_name, data)).status_code == 200
    large = create(server, "large")
    assert upload(server, large, asset_form(CONFIG_FILE, config)).status_code == 200

    size = sum(len(piece) for piece in large_adapter())
    assert FILE_BYTES - 100_000 < size < WEIGHTS_FILE_LIMIT_BYTES
    body = (
        piece for pieces in ([asset_start(WEIGHTS_FILE)], large_adapter(), [ASSET_END]) for piece in pieces
    )
    length = len(asset_form(WEIGHTS_FILE, b"")) + size
    process = server.server_process().pid
    Path(f"/proc/{process}/clear_refs").write_text("5")
    before = status_bytes(process, "VmRSS")
    answer = upload(server, large, body, **({"content-length": str(length)} if declared else {}))
    peak = status_bytes(process, "VmHWM")

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 3030)
    findings = server.client.get(f"{FINETUNES}/large").json()["result"]["findings"]
    assert any(f"fill.{FILL_TENSORS - 1}: holds NaN" in found for found in findings), findings
    assert peak - before <= MEMORY_BYTES
    adapters = server.data_dir / "adapters"
    assert not [path for path in adapters.rglob("*.safetensors") if path.stat().st_size > 10_000_000]
    assert not list((adapters / ".incoming").iterdir())


DISK_WORK: dict[type, tuple[str, ...]] = {
    AssetForm: ("feed",),
    AssetFile: ("__init__", "write", "finish", "close"),
    LocalBlobs: ("discard", "commit", "put_asset", "keep_assets", "link", "remove_draft", "complete"),
    AdapterStore: ("finetune", "draft", "promote", "finetunes", "public", "remove", "files_present"),
    Finetunes: ("create", "put", "find", "draft_for_assets", "finish", "delete", "list"),
}


@pytest.mark.anyio
async def test_no_disk_work_on_the_event_loops_thread(
    settings: Settings, prompts: PromptBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, set[int]] = {}

    def recorded(label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            threads.setdefault(label, set()).add(threading.get_ident())
            return function(*arguments, **options)

        return call

    async with uploads_to(settings, prompts, tmp_path / "base") as local:
        for kind, names in DISK_WORK.items():
            for name in names:
                monkeypatch.setattr(kind, name, recorded(f"{kind.__name__}.{name}", getattr(kind, name)))
        for name in ("by_id", "usable", "insert_row", "put_asset", "change", "delete_row"):
            monkeypatch.setattr(rows, name, recorded(f"rows.{name}", getattr(rows, name)))
        new = await local.ready("mine", public=True)
        assert (await local.run(new)).status_code == 200
        other = await local.create("other")
        assert (await local.send(other, CONFIG_FILE, b"{}")).status_code == 200
        assert (await local.send(other, WEIGHTS_FILE, files_of(good())[WEIGHTS_FILE])).status_code == 400
        for path in (local.path(), local.path("public"), local.path(new)):
            assert (await local.call("GET", path)).status_code == 200
        third = await local.create("third")
        for named in (new, third):
            assert (await local.call("DELETE", local.path(named))).status_code == 200
        monkeypatch.undo()
    expected = {f"{kind.__name__}.{name}" for kind, names in DISK_WORK.items() for name in names}
    assert expected <= set(threads)
    assert [label for label, idents in threads.items() if threading.get_ident() in idents] == []
