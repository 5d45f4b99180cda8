"""What quantization costs: the perplexity of the stand-in's answers to questions that it was not trained with.

`python -m tests.engines.perplexity` measures every form and prints the table of docs/weights.md. The perplexity is e to
the mean negative log likelihood of the answers' tokens, given what is before them. The stand-in knows its answers by
heart, so that is little more than 1, and what counts is the ratio to the unquantized form.
"""

import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
from sentencepiece import SentencePieceProcessor

from app.engines.llamacpp.plan import LlamaCppPlan, server_params
from app.engines.transformers.attention import Segment
from app.engines.transformers.lora import BASE
from app.engines.transformers.model import StepModel, load
from app.engines.transformers.plan import Quantization, TransformersPlan
from app.standin.expand import ensure_expanded
from app.standin.gguf import ensure_gguf
from app.standin.recipe import text
from app.standin.recipe.conversations import Drawer, Example, encode
from app.standin.recipe.train import SEED
from app.standin.shape import EOS_ID
from app.standin.tokenizer import tokenizer_model_path
from tests.engines.gguf_forms import FORMS, Forms
from tests.engines.packing import packed_standin

HELD_OUT_SEED: Final = SEED + 1000
MEASURED_CONVERSATIONS: Final = 200
"""For the table: six thousand tokens of answers, in three minutes."""

TESTED_CONVERSATIONS: Final = 20
CONTEXT: Final = 256

CHECKPOINTS: Final[Sequence[Quantization]] = ("8-bit", "4-bit", "gptq", "awq")
MOST: Final[Mapping[str, float]] = MappingProxyType(
    {
        "8-bit": 1.002,
        "4-bit": 1.006,
        "gptq": 1.004,
        "awq": 1.004,
        "Q2_K": 1.012,
        "Q3_K_S": 1.005,
        "Q3_K_M": 1.004,
        "Q3_K_L": 1.004,
        "Q4_0": 1.004,
        "Q4_K_S": 1.004,
        "Q4_K_M": 1.004,
        "Q5_0": 1.002,
        "Q5_K_S": 1.002,
        "Q5_K_M": 1.002,
        "Q6_K": 1.001,
        "Q8_0": 1.001,
    }
)
"""The largest ratio to the unquantized form that is taken for right: about twice what 20 to 200 conversations gave."""


@dataclass(frozen=True)
class Lesson:
    """A question in the layout of a prompt, and its answer with the end, as token ids."""

    prompt: list[int]
    answer: list[int]


Lessons = Sequence[Lesson]


def lessons(conversations: int) -> Lessons:
    """The turns of so many conversations, drawn as the training's were, with another seed."""
    processor = SentencePieceProcessor(model_file=str(tokenizer_model_path()))
    drawer = Drawer(text.load(), HELD_OUT_SEED)
    examples = [
        encode(processor, drawer.conversation(lambda entry: entry.answer)) for _ in range(conversations)
    ]
    return [lesson for example in examples for lesson in _turns(example)]


def _turns(example: Example) -> Iterator[Lesson]:
    begin = 0
    for answer, run in groupby(example.learn):
        end = begin + sum(1 for _ in run)
        if answer:
            yield Lesson(example.ids[:begin], example.ids[begin:end])
        begin = end


def by_transformers(lessons: Lessons, folder: Path, quantization: Quantization, dtype: str) -> float:
    """Of the model as the engine loads it."""
    plan = TransformersPlan(
        folder=folder,
        dtype=dtype,
        quantization=quantization,
        max_model_len=CONTEXT,
        slots=0,
        max_rows=1,
        kv_tokens=CONTEXT,
    )
    model = load(plan)
    return _perplexity(_by_model(model, lesson) for lesson in lessons)


@torch.inference_mode()
def _by_model(model: StepModel, lesson: Lesson) -> list[float]:
    ids = [*lesson.prompt, *lesson.answer[:-1]]
    segment = Segment(model.cache(len(ids)), 0, len(ids))
    logits = model.logits([segment], ids, [BASE] * len(ids), range(len(lesson.prompt) - 1, len(ids)))
    logprobs = logits.log_softmax(-1).gather(1, torch.tensor(lesson.answer)[:, None])
    return logprobs[:, 0].tolist()


def by_llama_cpp(lessons: Lessons, gguf: Path) -> float:
    """Of llama.cpp with the file: it answers in a grammar that allows the lesson's tokens alone, and says how likely
    each was before that.
    """
    import xllamacpp

    plan = LlamaCppPlan(gguf, gguf.parent, context=CONTEXT, slots=1, adapters=0, threads=1)
    with tempfile.TemporaryDirectory() as private:
        server = xllamacpp.Server(server_params(xllamacpp, plan, [], Path(private)))
    return _perplexity(_forced(server, lesson) for lesson in lessons)


def _forced(server: Any, lesson: Lesson) -> list[float]:
    assert lesson.answer[-1] == EOS_ID  # comes by itself where the grammar ends
    body = {
        "prompt": lesson.prompt,
        "n_predict": len(lesson.answer),
        "grammar": "root ::= " + " ".join(f"<[{token}]>" for token in lesson.answer[:-1]),
        "n_probs": 1,
        "samplers": [],
        "cache_prompt": False,
    }
    tokens = server.handle_completions(body)["choices"][0]["logprobs"]["content"]
    assert [token["id"] for token in tokens] == lesson.answer
    return [token["logprob"] for token in tokens]


def _perplexity(logprobs: Iterable[list[float]]) -> float:
    flat = list(chain.from_iterable(logprobs))
    return math.exp(-sum(flat) / len(flat))


def of_checkpoint(lessons: Lessons, standin: Path, scratch: Path, form: Quantization) -> float:
    """The stand-in as a checkpoint of `form` in the type that those are published in, by the engine transformers."""
    if form in ("gptq", "awq"):
        return by_transformers(lessons, packed_standin(standin, scratch / form, form), form, "float16")
    return by_transformers(lessons, standin, form, "bfloat16")


def measured(folder: Path) -> Iterator[tuple[str, str, float, float | None]]:
    """Engine, form, perplexity and its ratio to the unquantized form. `folder` is for checkpoints and files."""
    asked = lessons(MEASURED_CONVERSATIONS)
    standin, gguf = ensure_expanded(folder), ensure_gguf(folder)
    whole = of_checkpoint(asked, standin, folder, "none")
    yield "transformers", "none", whole, None
    for form in CHECKPOINTS:
        found = of_checkpoint(asked, standin, folder, form)
        yield "transformers", form, found, found / whole
    whole = by_llama_cpp(asked, gguf)
    yield "llama.cpp", "F16", whole, None
    forms = Forms(gguf)
    for name in FORMS:
        found = by_llama_cpp(asked, forms.write(folder / f"{name}.gguf", name))
        yield "llama.cpp", name, found, found / whole


def main() -> None:
    print("| engine | quantization | perplexity | ratio | at most |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for engine, form, perplexity, ratio in measured(Path(folder)):
            compared = "| 1 | |" if ratio is None else f"| {ratio:.4f} | {MOST[form]} |"
            print(f"| {engine} | {form} | {perplexity:.4f} {compared}", flush=True)


if __name__ == "__main__":
    main()
