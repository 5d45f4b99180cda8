"""app.engines.vllm: what it makes of vLLM's outputs. Importing their classes would import half of torch."""

from types import SimpleNamespace

from app.engines.vllm import _delta


def output(finish_reason: str | None) -> SimpleNamespace:
    completion = SimpleNamespace(text="text", token_ids=[1], logprobs=None, finish_reason=finish_reason)
    return SimpleNamespace(outputs=[completion], num_cached_tokens=None)


def test_reasons() -> None:
    assert [_delta(output(reason)).finish_reason for reason in (None, "stop", "length", "error")] == [
        None,
        "stop",
        "length",
        "abort",
    ]
