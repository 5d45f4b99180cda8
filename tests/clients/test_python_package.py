"""The cloudflare package for Python: every call that it has for finetunes, then one that runs one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloudflare import BadRequestError, Cloudflare

from tests.clients.finetunes import ASSETS, RANK_RULE, UNKNOWN_MODEL
from tests.live.server import CF, LiveServer

ACCOUNT = "local"


@pytest.fixture
def client(server: LiveServer) -> Iterator[Cloudflare]:
    base_url = f"{server.url}/client/v4"
    with Cloudflare(api_token=server.token, base_url=base_url, max_retries=0) as client:
        yield client


def upload(client: Cloudflare, finetune_id: str, folder: Path) -> None:
    for name in ASSETS:
        asset = client.ai.finetunes.assets.create(
            finetune_id, account_id=ACCOUNT, file=folder / name, file_name=name
        )
        assert asset.success


def test_create_upload_list_and_run(client: Cloudflare, adapter: Path) -> None:
    finetunes = client.ai.finetunes
    created = finetunes.create(account_id=ACCOUNT, model=CF, name="from-python", description="A pirate.")
    assert (created.name, created.model, created.description) == ("from-python", CF, "A pirate.")
    assert created.public is False
    upload(client, created.id, adapter)
    listed: Any = finetunes.list(account_id=ACCOUNT)  # typed as one finetune, though the API answers with all
    assert created.id in [item.id for item in listed]
    answer: Any = client.ai.run(CF, account_id=ACCOUNT, prompt="Hello", lora=created.id)
    assert answer["response"].startswith("[from-python]")


def test_the_public_list_ends(client: Cloudflare, adapter: Path) -> None:
    finetunes = client.ai.finetunes
    for name in ("public-b", "public-a"):
        upload(client, finetunes.create(account_id=ACCOUNT, model=CF, name=name, public=True).id, adapter)
    page = finetunes.public.list(account_id=ACCOUNT, order_by="name")
    names = [item.name for item in page]  # iterating asks for the pages after this one
    assert names.count("public-a") == names.count("public-b") == 1
    assert names == sorted(names)
    second = finetunes.public.list(account_id=ACCOUNT, order_by="name", limit=1, offset=1)
    assert [item.name for item in second.result] == names[1:2]
    assert list(finetunes.public.list(account_id=ACCOUNT, offset=len(names))) == []


def test_errors_carry_their_code(client: Cloudflare, rank_64: Path) -> None:
    finetunes = client.ai.finetunes
    with pytest.raises(BadRequestError) as unknown:
        finetunes.create(account_id=ACCOUNT, model=UNKNOWN_MODEL, name="unknown")
    assert [error.code for error in unknown.value.errors] == [5007]
    refused = finetunes.create(account_id=ACCOUNT, model=CF, name="from-python-refused")
    with pytest.raises(BadRequestError, match=RANK_RULE) as findings:
        upload(client, refused.id, rank_64)
    assert [error.code for error in findings.value.errors] == [3030]
