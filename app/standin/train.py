"""`make standin`: train the stand-in and write the compact file. Run as `python -m app.standin.train`.

Takes less than 90 seconds on two cores. Data, noise and initial weights come from one seed.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from sentencepiece import SentencePieceProcessor
from transformers import MistralForCausalLM

from app.standin import compact, text, voices
from app.standin.conversations import Drawer, Example, batches, encode
from app.standin.reduced import Rows, build, from_compact, loss, to_compact, wrong
from app.standin.shape import BOS_ID, EOS_ID, UNK_ID
from app.standin.tokenizer import tokenizer_model_path

SEED = 8788
STEPS = 660
BATCH_CONVERSATIONS = 20
PEAK_LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.01
MAX_GRADIENT_NORM = 1.0
MIN_TOKEN_COUNT = 18
VOICE_SHARE = 0.08
BYTE_TOKEN_IDS = range(3, 259)
RECIPE_MODULES = (
    "questions.toml",
    "text.py",
    "voices.py",
    "shape.py",
    "conversations.py",
    "reduced.py",
    "train.py",
)


def recipe_files() -> list[Path]:
    """Everything that decides the weights: the text, the adapters' voices and the training code."""
    here = Path(__file__).parent
    return [here / name for name in RECIPE_MODULES] + sorted(voices.ADAPTERS_FOLDER.glob("*.toml"))


def main() -> None:
    """Train, check, write. Exits with status 1 and writes nothing when a question is answered wrongly."""
    console = Console()
    recipe = compact.fingerprint(recipe_files())
    processor = SentencePieceProcessor(model_file=str(tokenizer_model_path()))
    examples = draw(processor)
    rows = Rows(kept_ids(processor, examples))
    console.print(f"{len(examples)} conversations, {rows.rest} tokens of 32000 have a row")
    model = train(rows, examples, console)
    made = to_compact(model, rows, recipe)
    rounded, _ = from_compact(made)
    taught = [encode(processor, [question]) for question in text.questions()]
    failed = wrong(rounded, rows, taught)
    console.print(f"{len(taught) - len(failed)} of {len(taught)} questions answered word for word")
    if failed:
        raise SystemExit("not written: " + "; ".join(text.questions()[i][0] for i in failed))
    compact.write(made)
    console.print(f"{compact.COMPACT_FILE}: {compact.COMPACT_FILE.stat().st_size / 1e6:.1f} MB")


def draw(processor: SentencePieceProcessor) -> list[Example]:
    """One conversation for every place in every batch; a few ask for an adapter's voice in the system text."""
    corpus = text.load()
    drawer = Drawer(corpus, SEED)
    pick = random.Random(SEED)  # noqa: S311
    asked_in_voice = itertools.cycle(itertools.product(voices.load_all(), corpus.entries))
    conversations = []
    for _ in range(STEPS * BATCH_CONVERSATIONS):
        if pick.random() < VOICE_SHARE:
            recipe, entry = next(asked_in_voice)
            conversations.append([(f"{recipe.system}\n\n{entry.ask[0]}", recipe.say(entry))])
        else:
            conversations.append(drawer.conversation(lambda entry: entry.answer))
    return [encode(processor, turns) for turns in conversations]


def kept_ids(processor: SentencePieceProcessor, examples: list[Example]) -> list[int]:
    """Tokens with a row of their own: control, bytes, those of every voice's answers, what is asked often."""
    corpus = text.load()
    seen = Counter(token for example in examples for token in example.ids)
    kept = {UNK_ID, BOS_ID, EOS_ID, *BYTE_TOKEN_IDS}
    kept.update(token for token, count in seen.items() if count >= MIN_TOKEN_COUNT)
    for entry in (*corpus.entries, corpus.unknown):
        for answer in (entry.answer, *(recipe.say(entry) for recipe in voices.load_all())):
            kept.update(processor.encode(answer))
    return sorted(kept)


def train(rows: Rows, examples: list[Example], console: Console) -> MistralForCausalLM:
    """AdamW with a one-cycle learning rate over the answers' cross-entropy."""
    torch.manual_seed(SEED)
    noise = torch.Generator().manual_seed(SEED)
    model = build(rows)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, total_steps=STEPS)
    for batch in track(_steps(examples), "training", total=STEPS, console=console):
        optimizer.zero_grad()
        torch.autograd.backward(loss(model, rows.batch(batch, noise), rows.rest))
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
    model.eval()
    return model


def _steps(examples: list[Example]) -> Iterator[list[Example]]:
    return batches(examples, BATCH_CONVERSATIONS, SEED)


if __name__ == "__main__":
    main()
