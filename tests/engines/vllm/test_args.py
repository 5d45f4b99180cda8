"""app.engines.vllm.args: the installed vLLM takes what it gives, settings can't take what the server owns."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from vllm.config import StructuredOutputsConfig
from vllm.engine.arg_utils import AsyncEngineArgs

from app.engines.vllm.args import (
    CHOICES,
    OWNED,
    argument_mistakes,
    argument_names,
    check_arguments,
    engine_arguments,
)
from app.errors import SettingsError
from app.settings import CHECKOUT, load_settings


def arguments(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "weights": Path("/weights"),
        "user_args": {},
        "max_model_len": 15_000,
        "max_num_batched_tokens": 8192,
        "max_loras": 4,
        "max_cpu_loras": 16,
        "adapters": True,
        "cpu": True,
    }
    return engine_arguments(**{**given, **changes})


def test_names_are_the_fields_of_the_installed_vllm() -> None:
    fields = {field.name for field in dataclasses.fields(AsyncEngineArgs) if not field.name.startswith("_")}
    assert argument_names() == fields


def test_owned_names_exist() -> None:
    assert set(OWNED) | set(CHOICES) <= argument_names()


class TestArguments:
    def test_vllm_takes_them(self) -> None:
        args = AsyncEngineArgs(**arguments())
        assert (args.model, args.max_model_len, args.max_num_batched_tokens) == ("/weights", 15_000, 8192)
        assert (args.enable_lora, args.max_lora_rank) == (True, 32)
        assert args.logits_processors == ["app.engines.vllm.high_temperature:HighTemperatureProcessor"]
        assert args.generation_config == "vllm"
        assert args.trust_remote_code is False
        assert StructuredOutputsConfig(**args.structured_outputs_config).backend == "xgrammar"

    def test_without_adapters(self) -> None:
        given = arguments(adapters=False)
        assert "enable_lora" not in given
        assert given["enforce_eager"] is False

    @pytest.mark.parametrize(("resident", "in_batch"), [(16, 4), (4, 4), (1, 1), (256, 4)])
    def test_vllm_never_has_to_evict(self, resident: int, in_batch: int) -> None:
        """On a CPU each has a slot of its own; on a GPU as many as a step may have."""
        counts = {"max_cpu_loras": resident, "max_loras": in_batch}
        cpu, gpu = (AsyncEngineArgs(**arguments(cpu=cpu, **counts)) for cpu in (True, False))
        assert (cpu.max_loras, cpu.max_cpu_loras) == (resident, resident)
        assert (gpu.max_loras, gpu.max_cpu_loras) == (in_batch, resident)

    def test_on_a_gpu(self) -> None:
        given = arguments(cpu=False)
        assert given["logits_processors"] == ["app.engines.vllm.high_temperature:HighTemperatureProcessorV2"]
        assert given["enforce_eager"] is False
        assert "kv_cache_memory_bytes" not in given

    def test_kv_cache(self) -> None:
        assert arguments(kv_cache_bytes=3 * 1024**3)["kv_cache_memory_bytes"] == 3 * 1024**3

    def test_the_users_win_where_they_may(self) -> None:
        given = arguments(user_args={"enforce_eager": False, "dtype": "float32", "max_num_seqs": 7})
        assert (given["enforce_eager"], given["dtype"], given["max_num_seqs"]) == (False, "float32", 7)

    def test_what_suits_the_machine_gives_way_to_the_users(self) -> None:
        chosen = {"max_num_seqs": 12, "dtype": "bfloat16"}
        given = arguments(chosen=chosen, user_args={"max_num_seqs": 7})
        assert (given["max_num_seqs"], given["dtype"]) == (7, "bfloat16")

    def test_refused_before_vllm_sees_them(self) -> None:
        with pytest.raises(SettingsError, match=r"^models\.vllm\.trust_remote_code: the server sets this: "):
            arguments(user_args={"trust_remote_code": True})

    def test_a_context_that_needs_chunks(self) -> None:
        with pytest.raises(
            SettingsError, match="a prompt of 15000 tokens does not fit into one step of 8192"
        ):
            arguments(user_args={"enable_chunked_prefill": False})
        assert arguments(user_args={"enable_chunked_prefill": False}, max_model_len=8192)


class TestMistakes:
    @pytest.mark.parametrize("name", sorted(OWNED))
    def test_what_the_server_owns_is_refused_with_a_way_out(self, name: str) -> None:
        assert list(argument_mistakes({name: None})) == [f"{name}: the server sets this: {OWNED[name]}"]

    def test_every_argument_that_the_server_sets_is_owned_or_tunable(self) -> None:
        tunable = {"load_format", "enable_prefix_caching", "disable_log_stats", "enforce_eager", "seed"}
        assert set(arguments(kv_cache_bytes=1)) - tunable <= set(OWNED)

    @pytest.mark.parametrize(
        ("name", "line"),
        [
            ("max_num_seq", "max_num_seq: not an argument of the installed vLLM; did you mean max_num_seqs?"),
            ("qqq", "qqq: not an argument of the installed vLLM"),
            ("_api_process_count", "_api_process_count: not an argument of the installed vLLM"),
        ],
    )
    def test_unknown(self, name: str, line: str) -> None:
        assert list(argument_mistakes({name: 1})) == [line]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("load_format", "auto"),
            ("load_format", "pt"),
            ("model_impl", "transformers"),
            ("distributed_executor_backend", "os.system"),
            ("load_format", []),
        ],
    )
    def test_values_that_load_code_or_pickles(self, name: str, value: object) -> None:
        (line,) = argument_mistakes({name: value})
        assert line.startswith(f"{name}: expected ")

    def test_file_and_entry_are_named(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_text(
            'models = [{name = "a"}, {name = "b", weights = "w", vllm = {model = "x", dtyp = 1}}]'
        )
        with pytest.raises(SettingsError) as caught:
            check_arguments(load_settings(path, None, {}))
        assert str(caught.value).splitlines() == [
            f"{path}: models[1].vllm.model: the server sets this: set `weights` in [[models]]",
            f"{path}: models[1].vllm.dtyp: not an argument of the installed vLLM; did you mean dtype?",
        ]

    def test_documented(self) -> None:
        text = (CHECKOUT / "docs" / "configuration.md").read_text()
        assert [name for name in (*OWNED, *CHOICES) if f"`{name}`" not in text] == []
