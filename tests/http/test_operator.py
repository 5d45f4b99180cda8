import pytest

from app.errors import (
    AdapterRefused,
    AssetNotTaken,
    FinetuneRefused,
    InsufficientStorage,
    InternalError,
    OperatorError,
    StartupError,
    StorageError,
)
from app.http.envelope import raised_as


@pytest.mark.parametrize(
    ("raised", "answered"),
    [
        (AdapterRefused("lora_A: first", "lora_B: second"), FinetuneRefused),
        (StorageError("No space left on device"), InsufficientStorage),
        (OperatorError("both are in"), AssetNotTaken),
    ],
)
def test_the_text_is_kept(raised: OperatorError, answered: type[Exception]) -> None:
    with pytest.raises(answered) as caught, raised_as(AssetNotTaken):
        raise raised
    assert str(raised) in str(caught.value)


def test_what_is_wrong_with_this_machine_stays_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InternalError) as caught, raised_as(AssetNotTaken):
        raise StartupError("/srv/weights/config.json: gone; get the weights again")
    assert "/srv" not in str(caught.value)
    assert "/srv/weights/config.json: gone" in caplog.text


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), raised_as(AssetNotTaken):
        raise KeyError
