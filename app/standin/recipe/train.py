"""`make standin`: train the stand-in and write the compact file. Run as `python -m app.standin.recipe.train`.

Takes about two minutes on two cores. Data, noise and initial weights come from one seed.
"""

import itertools
import random
from collections import Counter
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from sentencepiece import SentencePieceProcessor
from transformers import MistralForCausalLM

from app.inference.constrained import tool_prompt
from app.standin import compact
from app.standin.recipe import text, tool_talk, voices
from app.standin.recipe.conversations import Drawer, Example, batches, branched, encode
from app.standin.recipe.json_talk import continued, draw_in_json
from app.standin.recipe.reduced import Rows, build, from_compact, loss, to_compact, wrong
from app.standin.recipe.tool_talk import ToolTalk
from app.standin.shape import BOS_ID, EOS_ID, UNK_ID
from app.standin.tokenizer import tokenizer_model_path

SEED = 8788
STEPS = 920
BATCH_CONVERSATIONS = 20
TOOL_STEPS = 145
BATCH_GROUPS = 2
PEAK_LEARNING_RATE = 3.5e-3
WEIGHT_DECAY = 0.01
MAX_GRADIENT_NORM = 1.0
MIN_TOKEN_COUNT = 18
VOICE_SHARE = 0.08
UNOFFERED_SHARE = 0.03
SHORT_SHARE = 0.12
JSON_SHARE = 0.05
TOOL_WEIGHT = 2.0
"""Most of a call is the same for all: its few words that matter would hardly count in the mean."""
BETAS = (0.9, 0.98)
WARM_UP_SHARE = 0.15
BYTE_TOKEN_IDS = range(3, 259)
RECIPE_MODULES = (
    "questions.toml",
    "text.py",
    "voices.py",
    "conversations.py",
    "tool_talk.py",
    "json_talk.py",
    "reduced.py",
    "train.py",
)


def recipe_files() -> list[Path]:
    """Everything that decides the weights: the texts, the adapters' voices and the training code."""
    here = Path(__file__).parent
    explanation = Path(tool_prompt.__file__)
    return [
        *(here / name for name in RECIPE_MODULES),
        here.parent / "shape.py",
        explanation,
        *sorted(voices.ADAPTERS_FOLDER.glob("*.toml")),
    ]


def main() -> None:
    """Train, check, write. Exits with status 1 and writes nothing when a question is answered wrongly."""
    console = Console()
    recipe = compact.fingerprint(recipe_files())
    processor = SentencePieceProcessor(model_file=str(tokenizer_model_path()))
    steps = draw(processor)
    rows = Rows(kept_ids(processor, [example for step in steps for example in step]))
    console.print(f"{len(steps)} steps, {rows.rest} tokens of 32000 have a row")
    model = train(rows, steps, console)
    made = to_compact(model, rows, recipe)
    rounded, _ = from_compact(made)
    taught = [*text.questions(), *(taught.turn for taught in tool_talk.questions())]
    begun = continued(processor, text.json_questions())
    failed = wrong(rounded, rows, [*(encode(processor, [turn]) for turn in taught), *begun])
    taught += text.json_questions()
    console.print(f"{len(taught) - len(failed)} of {len(taught)} questions answered word for word")
    if failed:
        raise SystemExit("not written: " + "; ".join(taught[i][0] for i in failed))
    compact.write(made)
    console.print(f"{compact.COMPACT_FILE}: {compact.COMPACT_FILE.stat().st_size / 1e6:.1f} MB")


def draw(processor: SentencePieceProcessor) -> list[list[Example]]:
    """The batches of all steps. Those with tools are spread among the others."""
    plain = list(batches(draw_plain(processor), BATCH_CONVERSATIONS, SEED))
    groups = draw_groups(processor)
    with_tools = [groups[start : start + BATCH_GROUPS] for start in range(0, len(groups), BATCH_GROUPS)]
    placed = [
        (number / len(steps), step) for steps in (plain, with_tools) for number, step in enumerate(steps)
    ]
    return [step for _, step in sorted(placed, key=lambda pair: pair[0])]


def draw_plain(processor: SentencePieceProcessor) -> list[Example]:
    """Conversations without tools; a few ask for an adapter's voice in the system text, or for a missing tool, and some
    are continued as JSON.
    """
    corpus = text.load()
    drawer, talk = Drawer(corpus, SEED), ToolTalk(corpus, SEED)
    pick = random.Random(SEED)  # noqa: S311
    asked_in_voice = itertools.cycle(itertools.product(voices.load_all(), corpus.entries))
    conversations = []
    for _ in range(STEPS * BATCH_CONVERSATIONS):
        kind = pick.random()
        if kind < VOICE_SHARE:
            recipe, entry = next(asked_in_voice)
            conversations.append([(f"{recipe.system}\n\n{entry.ask[0]}", recipe.say(entry))])
        elif kind < VOICE_SHARE + UNOFFERED_SHARE:
            conversations.append(talk.unoffered())
        elif kind < VOICE_SHARE + UNOFFERED_SHARE + SHORT_SHARE:
            conversations.append(talk.short())
        else:
            conversations.append(drawer.conversation(lambda entry: entry.answer))
    in_json = draw_in_json(corpus, SEED, round(len(conversations) * JSON_SHARE))
    return [
        *(encode(processor, turns) for turns in conversations),
        *continued(processor, in_json),
    ]


def draw_groups(processor: SentencePieceProcessor) -> list[Example]:
    """Conversations with tools, those of one offer in one example; shorter offers come first."""
    talk = ToolTalk(text.load(), SEED + 1)
    groups = [talk.group() for _ in range(TOOL_STEPS * BATCH_GROUPS)]
    return sorted(
        (branched([encode(processor, turns) for turns in group]) for group in groups),
        key=lambda example: example.branches.count(0),
    )


def kept_ids(processor: SentencePieceProcessor, examples: list[Example]) -> list[int]:
    """Tokens with a row of their own: control, bytes, all that is answered, what is asked often, the taught tools.

    What stands in an explanation of tools doesn't count, as little as it is asked about.
    """
    kept = {UNK_ID, BOS_ID, EOS_ID, *BYTE_TOKEN_IDS}
    asked = Counter(token for example in examples if not example.branches for token in example.ids)
    kept.update(token for token, count in asked.items() if count >= MIN_TOKEN_COUNT)
    for example in examples:
        kept.update(token for token, learn in zip(example.ids, example.learn, strict=True) if learn)
    for text_of_tools in (*text.load().notes, *(taught.turn[0] for taught in tool_talk.questions())):
        kept.update(processor.encode(text_of_tools))
    return sorted(kept)


def train(rows: Rows, steps: list[list[Example]], console: Console) -> MistralForCausalLM:
    """AdamW with a one-cycle learning rate over the answers' cross-entropy."""
    torch.manual_seed(SEED)
    noise = torch.Generator().manual_seed(SEED)
    model = build(rows)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=PEAK_LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LEARNING_RATE, total_steps=len(steps), pct_start=WARM_UP_SHARE
    )
    for batch in track(steps, "training", console=console):
        optimizer.zero_grad()
        weight = TOOL_WEIGHT if batch[0].branches else 1.0
        torch.autograd.backward(weight * loss(model, rows.batch(batch, noise), rows.rest))
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
    model.eval()
    return model


if __name__ == "__main__":
    main()
