"""Words and `--auto` change weights and engine of the entries that they are about; pairs that can't be are refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import SettingsError
from app.program import program
from app.settings import Settings, load_settings
from app.weights.machine import Machine
from app.weights.selection import LaunchOptions, check_pairs, with_options
from app.weights.variants import load_catalogues
from tests.live.server import HF, outworker
from tests.weights.machines import machine


@pytest.fixture
def settings() -> Settings:
    return load_settings(None, None, {})


def test_words_are_for_every_model(settings: Settings) -> None:
    changed, line = with_options(settings, LaunchOptions("llama.cpp", "ggufv2", "Q4_K_M", "7"))
    assert {(model.weights, model.engine) for model in changed.models} == {("gguf-Q4_K_M", "llamacpp")}
    assert [model.name for model in changed.models] == [model.name for model in settings.models]
    assert line == "weights gguf-Q4_K_M with llamacpp: as the command line says"
    assert replace(changed, models=settings.models) == settings


GEMMA = "@hf/google/gemma-7b-it"


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        (GEMMA, "google/gemma-7b-it"),
        (GEMMA, "/models/gemma-7b.Q4_K_M.gguf"),
        (GEMMA, "stand-in"),
        (HF, "google/gemma-7b-it"),
        (HF, "mistralai/Mistral-7B-Instruct-v0.3"),
    ],
)
@pytest.mark.parametrize(
    "words",
    [
        LaunchOptions("llama.cpp", "ggufv2", "Q4_K_M"),
        LaunchOptions(quantization="q8_0"),
        LaunchOptions(auto=True),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_an_entry_of_another_model_keeps_its_own(
    settings: Settings, name: str, weights: str, words: LaunchOptions, first: bool
) -> None:
    mistral = settings.models[1]
    other = replace(settings.models[0], name=name, weights=weights, engine="vllm", adapters=False)
    both = (other, mistral) if first else (mistral, other)
    changed, line = with_options(replace(settings, models=both), words, machine())
    kept = changed.models[not first]
    assert kept == other
    assert changed.models[first].weights.startswith("gguf-")
    assert changed.models[first].engine == "llamacpp"
    assert line.endswith(f"; {name} keeps {weights}")


@pytest.mark.parametrize(
    "weights", ["stand-in", "awq", "TheBloke/Mistral-7B-Instruct-v0.2-AWQ", "/models/mine", "~/mine.gguf"]
)
def test_an_entry_of_the_model_is_changed_whatever_form_it_has(settings: Settings, weights: str) -> None:
    models = (replace(settings.models[0], weights=weights),)
    changed, _ = with_options(
        replace(settings, models=models), LaunchOptions("llama.cpp", "ggufv2", "Q8_0"), machine()
    )
    assert changed.models[0].weights == "gguf-Q8_0"


@pytest.mark.parametrize("words", [LaunchOptions(quantization="Q4_K_M"), LaunchOptions(auto=True)])
def test_words_about_no_entry_are_refused(settings: Settings, words: LaunchOptions) -> None:
    models = (replace(settings.models[0], name=GEMMA, weights="google/gemma-7b-it"),)
    with pytest.raises(
        SettingsError, match=r"no \[\[models\]\] entry is of a model that the options are for"
    ) as caught:
        with_options(replace(settings, models=models), words, machine())
    assert "\n" not in str(caught.value)


def test_words_that_mean_nothing_are_refused_as_words(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="--quantization Q9: expected one of"):
        with_options(settings, LaunchOptions(quantization="Q9"), machine())


def test_each_of_two_models_gets_its_own_form(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    (mistral,) = load_catalogues()
    variants = tuple(
        replace(variant, id=f"gemma-{variant.id}", hubs=())
        for variant in mistral.variants
        if variant.format == "ggufv2"
    )
    order = tuple(variant.id for variant in variants)
    gemma = replace(
        mistral,
        original="google/gemma",
        cards=(GEMMA,),
        variants=variants,
        gpu_preference=order,
        cpu_preference=order,
    )
    monkeypatch.setattr("app.weights.selection.load_catalogues", lambda: (mistral, gemma))
    models = (settings.models[0], replace(settings.models[1], name=GEMMA))
    changed, line = with_options(
        replace(settings, models=models), LaunchOptions(quantization="Q8_0"), machine()
    )
    assert [model.weights for model in changed.models] == ["gguf-Q8_0", "gemma-gguf-Q8_0"]
    assert "weights gemma-gguf-Q8_0 with llamacpp" in line
    changed, _ = with_options(replace(settings, models=models), LaunchOptions(format="awq"), machine())
    assert [model.weights for model in changed.models] == ["awq", "stand-in"]


def test_auto_says_why(settings: Settings) -> None:
    changed, line = with_options(settings, LaunchOptions(auto=True), machine(gpu_gb=24))
    assert {(model.weights, model.engine) for model in changed.models} == {("pytorch", "vllm")}
    assert line.startswith("weights pytorch with vllm: ")
    assert "needs 19.98 GB of GPU memory, 24.00 GB are free" in line


def test_auto_and_words_at_once(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="--auto chooses engine, format and quantization"):
        with_options(settings, LaunchOptions(engine="vllm", auto=True))


@pytest.mark.parametrize(
    ("words", "here", "expected"),
    [
        (LaunchOptions("llama.cpp"), machine(), ("gguf-Q5_K_M", "llamacpp")),
        (LaunchOptions("llamacpp", quantization="q8_0"), machine(), ("gguf-Q8_0", "llamacpp")),
        (LaunchOptions(quantization="8-bit"), machine(gpu_gb=24), ("pytorch-8-bit", "transformers")),
        (LaunchOptions(size_in_billions="7"), machine(gpu_gb=24), ("pytorch", "vllm")),
        (LaunchOptions(format="gptq"), machine(gpu_gb=24), ("gptq-gptq-8bit--1g-actorder_True", "vllm")),
        (LaunchOptions(format="gptq"), machine(), ("gptq-gptq-4bit-32g-actorder_True", "transformers")),
        (
            LaunchOptions(format="pytorch"),
            machine(packages={"transformers": "5", "torch": "2", "peft": "1"}),
            None,
        ),
        (LaunchOptions(size_in_billions="7"), machine(instruction_sets="sse2"), ("pytorch", "transformers")),
    ],
)
def test_of_several_the_best_that_can_compute_here(
    settings: Settings, words: LaunchOptions, here: Machine, expected: tuple[str, str] | None
) -> None:
    changed, _ = with_options(settings, words, here)
    found = changed.models[0].weights, changed.models[0].engine
    assert found == (expected or ("pytorch", "transformers"))
    check_pairs(changed, here)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            LaunchOptions("vLLM", "gptq", "Int4"),
            "gptq-main with vllm: vLLM 0.32 no longer loads GPTQ with act order and groups",
        ),
        (
            LaunchOptions("vLLM", "gptq", "gptq-8bit--1g-actorder_True"),
            "gptq-gptq-8bit--1g-actorder_True with vllm: "
            "vLLM's build for CPUs does not compute it, the one for GPUs does",
        ),
    ],
)
def test_words_that_can_not_be_are_refused_as_words(
    settings: Settings, words: LaunchOptions, expected: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        with_options(settings, words, machine())
    assert str(caught.value) == f"{expected}: expected --model-engine Transformers"


def test_words_that_leave_one_need_no_look_at_the_machine(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for what is known at once, and not for GPUs, which can take seconds."""
    monkeypatch.setattr("app.weights.machine._gpus", None)
    changed, _ = with_options(settings, LaunchOptions("vLLM", "awq"))
    assert changed.models[0].weights == "awq"


def test_models_that_can_not_share_an_engine(settings: Settings) -> None:
    first, second = settings.models
    apart = replace(settings, models=(first, replace(second, weights="/other", adapters=False)))
    with pytest.raises(
        SettingsError, match=r"models\[1\]\.adapters: expected the same as models\[0\]\.adapters"
    ):
        with_options(apart, LaunchOptions(format="awq"))


@pytest.mark.parametrize(
    ("weights", "engine", "expected"),
    [
        ("gguf-Q4_K_M", "vllm", '"llamacpp"'),
        ("awq", "llamacpp", '"vllm" or "transformers"'),
        ("pytorch-8-bit", "vllm", '"transformers"'),
        ("gptq-main", "llamacpp", '"transformers"'),
        ("/models/a.gguf", "vllm", '"llamacpp"'),
        ("/models/A.LLAMAFILE", "transformers", '"llamacpp"'),
    ],
)
def test_engines_that_can_not_load_the_weights(
    settings: Settings, weights: str, engine: str, expected: str
) -> None:
    models = (replace(settings.models[0], weights=weights, engine=engine),)
    with pytest.raises(SettingsError) as caught:
        check_pairs(replace(settings, models=models))
    text = f'models[0].engine: expected {expected} for the weights "{weights}", found "{engine}"'
    assert str(caught.value) == f"{settings.source}: {text}"


def test_llama_cpp_takes_one_file(settings: Settings) -> None:
    for weights in ("/models/mistral", "mistralai/Mistral-7B-Instruct-v0.2"):
        models = (replace(settings.models[0], weights=weights, engine="llamacpp"),)
        with pytest.raises(SettingsError) as caught:
            check_pairs(replace(settings, models=models))
        line = f'expected "vllm" or "transformers" for the weights "{weights}", found "llamacpp"'
        why = f"llama.cpp loads one .gguf or .llamafile file, such as `{program()} weights pull gguf-Q4_K_M` gets"
        assert str(caught.value).endswith(f"{line}: {why}")


@pytest.mark.parametrize("weights", ["stand-in", "awq", "/models/a"])
def test_a_processor_without_what_the_engine_uses(settings: Settings, weights: str) -> None:
    here = machine(instruction_sets="sse2")
    vllm = replace(settings, models=(replace(settings.models[0], weights=weights, engine="vllm"),))
    with pytest.raises(SettingsError) as caught:
        check_pairs(vllm, here)
    line = "vllm needs a processor with avx2: expected another engine, or another machine"
    assert str(caught.value) == f"{settings.source}: models[0].engine: {line}"
    check_pairs(vllm, replace(here, packages={"vllm": "0.32.0"}))
    transformers = replace(settings.models[0], weights=weights, engine="transformers")
    check_pairs(replace(settings, models=(transformers,)), here)


@pytest.mark.parametrize("weights", ["stand-in", "gguf-Q4_K_M", "/models/a.gguf"])
def test_llama_cpp_on_an_old_processor(settings: Settings, weights: str) -> None:
    model = replace(settings.models[0], weights=weights, engine="llamacpp")
    with pytest.raises(
        SettingsError, match="llamacpp needs a processor with avx2 and fma and f16c: expected"
    ):
        check_pairs(replace(settings, models=(model,)), machine(instruction_sets="sse2"))


def test_vllm_on_a_cpu_does_not_compute_8_bit_gptq(settings: Settings) -> None:
    model = replace(settings.models[0], weights="gptq-gptq-8bit--1g-actorder_True", engine="vllm")
    changed = replace(settings, models=(model,))
    with pytest.raises(SettingsError) as caught:
        check_pairs(changed, machine())
    line = "vLLM's build for CPUs does not compute it, the one for GPUs does"
    assert str(caught.value).endswith(
        f'expected "transformers" for the weights "{model.weights}", found "vllm": {line}'
    )
    check_pairs(changed, machine(packages={"vllm": "0.32.0"}))


def test_an_engine_that_refuses_says_why(settings: Settings) -> None:
    models = (replace(settings.models[0], weights="gptq-main", engine="vllm"),)
    with pytest.raises(SettingsError) as caught:
        check_pairs(replace(settings, models=models))
    line = 'found "vllm": vLLM 0.32 no longer loads GPTQ with act order and groups'
    assert str(caught.value).endswith(f'expected "transformers" for the weights "gptq-main", {line}')


@pytest.mark.parametrize(
    ("weights", "engine"),
    [
        ("stand-in", "vllm"),
        ("stand-in", "llamacpp"),
        ("awq", "fake"),
        ("gguf-Q4_K_M", "llamacpp"),
        ("a/b", "vllm"),
    ],
)
def test_engines_that_can(settings: Settings, weights: str, engine: str) -> None:
    check_pairs(replace(settings, models=(replace(settings.models[0], weights=weights, engine=engine),)))


def test_the_command_line(tmp_path: Path) -> None:
    """A server whose weights are not there says what it chose, and how to get them."""
    cache = {"HF_HOME": str(tmp_path / "none"), "PORT": "0"}
    words = ("--model-engine", "LLAMA.CPP", "--model-format", "ggufv2", "--quantization", "q6_k")
    done = outworker("serve", *words, "--size-in-billions", "7", data_dir=tmp_path, **cache)
    assert done.returncode == 2
    assert "weights gguf-Q6_K with llamacpp: as the command line says" in done.stdout
    assert f"pull it with `{program()} weights pull gguf-Q6_K`" in done.stdout


def test_a_pair_that_can_not_be_is_refused_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f'[[models]]\nname = "{HF}"\nweights = "gguf-Q4_K_M"\n')
    done = outworker("serve", "--config", str(file), data_dir=tmp_path, PORT="0")
    assert done.returncode == 2
    assert done.stdout.startswith(f'outworker: {file}: models[0].engine: expected "llamacpp" for the weights')
