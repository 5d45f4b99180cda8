"""The adapters of part "engine": two of the checkout, and a third made of one of them."""

import json
import shutil
from pathlib import Path

from app.model_files.lora import CONFIG_FILE
from app.settings import CHECKOUT
from benchmarks.workload import ADAPTERS


def adapter_folders(folder: Path) -> dict[str, Path]:
    """Each name's folder in upload form. The third has the first one's tensors and half its weight: of equal content
    our server would keep one.
    """
    first, second, third = ADAPTERS
    made = folder / third
    shutil.copytree(CHECKOUT / "adapters" / first, made)
    config = json.loads((made / CONFIG_FILE).read_text())
    (made / CONFIG_FILE).write_text(json.dumps({**config, "lora_alpha": config["lora_alpha"] // 2}))
    return {**{name: CHECKOUT / "adapters" / name for name in (first, second)}, third: made}
