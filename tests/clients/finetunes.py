"""What every client's tests say about a finetune, read from the server itself."""

from pathlib import Path
from typing import Any

from tests.live.server import CF, CHECKOUT, LiveServer

PIRATE = CHECKOUT / "adapters" / "pirate"
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
ASSETS = (CONFIG, WEIGHTS)
FINETUNES = "/client/v4/accounts/local/ai/finetunes"
UNKNOWN_MODEL = "@cf/nobody/no-such-model"
RANK_RULE = "r is 64, must be a whole number from 1 to 32"


def created(server: LiveServer, name: str) -> str:
    """The id of a new finetune without assets."""
    answer = server.client.post(FINETUNES, json={"model": CF, "name": name})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"]["id"])


def ready(server: LiveServer, name: str, folder: Path) -> str:
    """The id of a new finetune with the adapter in `folder`."""
    finetune = created(server, name)
    for asset in ASSETS:
        files = {"file": (asset, (folder / asset).read_bytes())}
        path = f"{FINETUNES}/{finetune}/finetune-assets"
        answer = server.client.post(path, data={"file_name": asset}, files=files)
        assert answer.status_code == 200, answer.text
    return finetune


def listed(server: LiveServer, name: str) -> dict[str, Any]:
    """What the account's list has under this name, once."""
    items = server.client.get(FINETUNES).json()["result"]
    (item,) = (item for item in items if item["name"] == name)
    return dict(item)


def run_with(server: LiveServer, lora: str) -> str:
    """The fake engine's answer, which begins with the adapter's name in brackets."""
    answer = server.run({"prompt": "Hello", "lora": lora}, CF)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"]["response"])
