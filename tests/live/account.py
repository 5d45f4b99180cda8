"""One account of a running server, through HTTP as its owner uses it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from tests.adapters.make import Adapter
from tests.live.server import HF, LiveServer, outworker


@dataclass
class Account:
    """Methods may be called from several threads."""

    server: LiveServer
    id: str
    token: str

    @classmethod
    def own(cls, server: LiveServer) -> Self:
        """The development account."""
        return cls(server, "local", server.token)

    @classmethod
    def new(cls, server: LiveServer, account_id: str) -> Self:
        """Another account, with a token from the command line."""
        made = outworker(
            "token",
            "create",
            "--account",
            account_id,
            "--new-account",
            "--scope",
            "ai:write",
            data_dir=server.data_dir,
        )
        assert made.returncode == 0, made.stderr
        return cls(server, account_id, made.stdout.split()[-1])

    @property
    def folder(self) -> Path:
        """Where the server keeps the account's adapters, one folder each."""
        return self.server.data_dir / "adapters" / self.id

    def send(self, method: str, tail: str, **options: Any) -> httpx.Response:
        path = f"/client/v4/accounts/{self.id}/ai/{tail}"
        headers = {"authorization": f"Bearer {self.token}"}
        return self.server.client.request(method, path, headers=headers, **options)

    def upload(self, name: str, adapter: Adapter, **more: Any) -> httpx.Response:
        """Create it and send both assets: the answer to the second, which comes after the inspection."""
        created = self.send("POST", "finetunes", json={"model": HF, "name": name, **more})
        assert created.status_code == 200, created.text
        assets = f"finetunes/{created.json()['result']['id']}/finetune-assets"
        first = self._asset(assets, "adapter_config.json", json.dumps(adapter.config).encode())
        assert first.status_code == 200, first.text
        return self._asset(assets, "adapter_model.safetensors", adapter.weights())

    def add(self, name: str, adapter: Adapter, **more: Any) -> Path:
        """Upload one that is good; its new folder."""
        before = set(self.folder.glob("*"))
        answer = self.upload(name, adapter, **more)
        assert answer.status_code == 200, answer.text
        assert answer.json()["result"]["state"] == "ready"
        (folder,) = set(self.folder.glob("*")) - before
        return folder

    def remove(self, name: str) -> None:
        assert self.send("DELETE", f"finetunes/{name}").status_code == 200

    def ask(self, prompt: str | dict[str, Any], lora: str | None = None) -> httpx.Response:
        """At temperature 0. `prompt` may be the fields of the body."""
        body = {"prompt": prompt} if isinstance(prompt, str) else prompt
        named = {"lora": lora} if lora else {}
        return self.send("POST", f"run/{HF}", json={**body, **named, "temperature": 0})

    def result(self, prompt: str | dict[str, Any], lora: str | None = None) -> dict[str, Any]:
        answer = self.ask(prompt, lora)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()["result"]
        return result

    def text(self, prompt: str | dict[str, Any], lora: str | None = None) -> str:
        return str(self.result(prompt, lora)["response"])

    def _asset(self, path: str, file_name: str, data: bytes) -> httpx.Response:
        return self.send("POST", path, data={"file_name": file_name}, files={"file": (file_name, data)})
