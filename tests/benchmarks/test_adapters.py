import json
from pathlib import Path

from app.adapters.inspection.base_model import read_base
from app.adapters.inspection.inspector import inspect_adapter
from benchmarks.adapters import adapter_folders
from benchmarks.workload import ADAPTERS


def test_all_are_adapters_and_no_two_are_equal(tmp_path: Path, standin_folder: Path) -> None:
    folders = adapter_folders(tmp_path)
    base = read_base(standin_folder, "stand-in")
    configs = [inspect_adapter(folder, base).config for folder in folders.values()]
    assert list(folders) == list(ADAPTERS)
    assert all(configs)
    contents = {
        (json.dumps(config), (folder / "adapter_model.safetensors").read_bytes())
        for config, folder in zip(configs, folders.values(), strict=True)
    }
    assert len(contents) == len(ADAPTERS)
