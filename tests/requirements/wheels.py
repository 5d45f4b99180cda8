"""Small wheels, so that pip installs something without an index."""

import hashlib
import zipfile
from pathlib import Path


def build_wheel(folder: Path, name: str, files: int = 1) -> Path:
    """Version 1.0 of `name`: a folder of text files."""
    module = name.replace("-", "_")
    path, info = folder / f"{module}-1.0-py3-none-any.whl", f"{module}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        for number in range(files):
            wheel.writestr(f"{module}/file_{number}.txt", "x" * 1000)
        wheel.writestr(f"{info}/RECORD", "")
    return path


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
