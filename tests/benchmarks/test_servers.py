from pathlib import Path

import orjson

from app.settings import load_settings
from benchmarks.bare import read_job
from benchmarks.servers import KV_CACHE_GIB, flags_of, our_plan, write_config
from benchmarks.workload import Ask, Job


def test_arguments_are_flags() -> None:
    arguments = {
        "model": "/weights",
        "max_loras": 4,
        "enforce_eager": True,
        "trust_remote_code": False,
        "lora_modules": ["a=1", "b=2"],
        "structured_outputs_config": {"backend": "xgrammar"},
    }
    assert list(flags_of(arguments)) == [
        *("--model", "/weights", "--max-loras", "4", "--enforce-eager", "--no-trust-remote-code"),
        *("--lora-modules", "a=1", "b=2", "--structured-outputs-config", '{"backend":"xgrammar"}'),
    ]


def test_the_other_engines_have_what_our_server_starts_vllm_with(
    tmp_path: Path, standin_folder: Path
) -> None:
    config = write_config(tmp_path, standin_folder)
    (model,) = load_settings(config, None, {}).models
    plan = our_plan(config, standin_folder)
    assert model.weights == plan.arguments["model"] == str(standin_folder)
    assert plan.arguments["kv_cache_memory_bytes"] == KV_CACHE_GIB * 1024**3
    assert plan.arguments["enable_lora"] is True


def test_a_job_arrives_as_it_was_sent() -> None:
    job = Job([Ask("Why?", "pirate"), Ask("How?")], clients=2, max_tokens=5, temperature=0.5)
    assert read_job(orjson.loads(orjson.dumps(job))) == job
