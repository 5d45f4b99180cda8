"""`make adapters`, after `make standin`: train the example adapters with peft (`python -m app.standin.recipe.lora`).

Each recipe `adapters/<name>.toml` becomes `adapters/<name>/adapter_config.json` and
`adapter_model.safetensors`, the two files that a person uploads. Training on the reduced model gives the same
adapter as training on the full one: an adapter holds no embedding rows, and the reduced model is the full one
with its equal rows folded together.
"""

import json
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from rich.console import Console
from rich.progress import track
from safetensors.torch import load_file, save_file
from sentencepiece import SentencePieceProcessor
from transformers import MistralForCausalLM

from app.standin import compact
from app.standin.recipe import text, voices
from app.standin.recipe.conversations import Drawer, Example, batches, encode
from app.standin.recipe.reduced import Rows, from_compact, loss, wrong
from app.standin.tokenizer import tokenizer_model_path

BASE_NAME = "outworker/stand-in"
SEED = 8788
BATCH_CONVERSATIONS = 20
MAX_GRADIENT_NORM = 1.0
TARGET_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PLAIN_KEYS = (
    "base_model_name_or_path",
    "bias",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "lora_alpha",
    "lora_dropout",
    "peft_type",
    "r",
    "target_modules",
    "task_type",
)
"""The part of peft's configuration that every server of LoRA adapters understands."""


def recipe_files(name: str) -> list[Path]:
    """Everything that decides an adapter's weights: the base, its recipe and this module."""
    return [compact.COMPACT_FILE, voices.ADAPTERS_FOLDER / f"{name}.toml", Path(__file__)]


def main() -> None:
    """Train every recipe. Exits with status 1 when an adapter answers a taught question wrongly."""
    console = Console()
    for recipe in voices.load_all():
        make(recipe, voices.ADAPTERS_FOLDER / recipe.name, console)


def make(recipe: voices.Recipe, folder: Path, console: Console) -> None:
    """Train one adapter, check every taught question, and write its two files to `folder`."""
    processor = SentencePieceProcessor(model_file=str(tokenizer_model_path()))
    base, rows = from_compact(compact.read())
    base.name_or_path = base.config._name_or_path = BASE_NAME
    torch.manual_seed(SEED)
    model = get_peft_model(base, _config(recipe))
    train(base, rows, recipe, processor, console)
    taught = [encode(processor, [(e.ask[0], recipe.say(e))]) for e in text.load().entries]
    failed = wrong(base.to(torch.bfloat16).to(torch.float32), rows, taught)
    console.print(
        f"{recipe.name}: {len(taught) - len(failed)} of {len(taught)} questions answered word for word"
    )
    if failed:
        raise SystemExit("not written: " + "; ".join(text.questions()[i][0] for i in failed))
    save(model, recipe.name, folder)


def train(
    model: MistralForCausalLM,
    rows: Rows,
    recipe: voices.Recipe,
    processor: SentencePieceProcessor,
    console: Console,
) -> None:
    """AdamW with a one-cycle learning rate; only the adapter's matrices change."""
    drawer = Drawer(text.load(), SEED)
    count = recipe.steps * BATCH_CONVERSATIONS
    examples: list[Example] = [encode(processor, drawer.conversation(recipe.say)) for _ in range(count)]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.peak_learning_rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.peak_learning_rate, total_steps=recipe.steps
    )
    steps = batches(examples, BATCH_CONVERSATIONS, SEED)
    for batch in track(steps, recipe.name, total=recipe.steps, console=console):
        optimizer.zero_grad()
        torch.autograd.backward(loss(model, rows.batch(batch), rows.rest))
        torch.nn.utils.clip_grad_norm_(trained, MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
    model.eval()


def save(model: PeftModel, name: str, folder: Path) -> None:
    """peft's two files: bfloat16 tensors with the recipe's sha256 beside them, and the plain keys."""
    with tempfile.TemporaryDirectory() as temporary:
        model.save_pretrained(temporary, save_embedding_layers=False)
        tensors = load_file(Path(temporary) / "adapter_model.safetensors")
        config = json.loads((Path(temporary) / "adapter_config.json").read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"format": "pt", compact.FINGERPRINT_KEY: compact.fingerprint(recipe_files(name))}
    half = {key: tensor.to(torch.bfloat16).contiguous() for key, tensor in tensors.items()}
    save_file(half, folder / "adapter_model.safetensors", metadata)
    plain = {key: config[key] for key in PLAIN_KEYS} | {"model_type": "mistral"}
    plain["target_modules"] = sorted(plain["target_modules"])
    content = json.dumps(dict(sorted(plain.items())), indent=2) + "\n"
    (folder / "adapter_config.json").write_text(content, encoding="utf-8")


def _config(recipe: voices.Recipe) -> LoraConfig:
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        target_modules=TARGET_MODULES,
    )


if __name__ == "__main__":
    main()
