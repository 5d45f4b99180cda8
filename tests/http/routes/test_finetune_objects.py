import pytest

from app.errors import BadInput
from app.http.routes.finetunes import (
    CreateParser,
    Window,
    checked_asset_name,
    read_pages,
    read_public_query,
)


@pytest.mark.parametrize(
    "name", ["", "model.safetensors", "ADAPTER_CONFIG.JSON", "../adapter_config.json", "adapter_model.bin"]
)
def test_other_file_names(name: str) -> None:
    with pytest.raises(
        BadInput, match=r"not in adapter_config\.json,adapter_model\.safetensors at '/file_name'"
    ):
        checked_asset_name(name)


def test_a_file_name_in_an_error_is_cleaned() -> None:
    with pytest.raises(BadInput) as refused:
        checked_asset_name("a\x1b[31m" + "b" * 500)
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_pages() -> None:
    assert read_pages({}) == Window(1000, 0)
    assert read_pages({"page": "2"}) == Window(1000, 1000)
    assert read_pages({"page": "3", "per_page": "20.0"}) == Window(20, 40)


def test_the_public_query() -> None:
    assert read_public_query({}) == ("created_at", Window(1000, 0))
    assert read_public_query({"orderBy": "name", "limit": "5", "offset": "10.0"}) == ("name", Window(5, 10))


@pytest.mark.parametrize("value", ["-1", "1.5", "x", "", "1e3", "٣", "9" * 10])
def test_numbers_that_are_none(value: str) -> None:
    with pytest.raises(BadInput, match="'/limit' must be >= 0 and a whole number"):
        read_public_query({"limit": value})


def test_a_create_is_typed() -> None:
    parse = CreateParser()
    new = parse({"model": "m", "name": "n", "public": True, "replace": None, "else": []})
    assert (new.model, new.name, new.description, new.public, new.replace) == ("m", "n", "", True, False)
