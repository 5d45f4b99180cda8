"""A folder to start commands in, with modules that must never be imported from there."""

from pathlib import Path

NAMES = (
    *(
        "jsonschema",
        "jsonschema_rs",
        "torch",
        "vllm",
        "transformers",
        "xgrammar",
        "xllamacpp",
        "zmq",
        "numpy",
    ),
    *("sitecustomize", "usercustomize", "random", "json", "asyncio", "multiprocessing", "psutil", "app"),
)
SEEN = "imported-"


def hostile(folder: Path) -> Path:
    """Each module leaves a file when it is imported, and fails."""
    folder.mkdir()
    for name in NAMES:
        mark = folder / f"{SEEN}{name}"
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise SystemExit('{name}')\n")
    return folder


def imported(folder: Path) -> list[str]:
    return sorted(path.name.removeprefix(SEEN) for path in folder.glob(f"{SEEN}*"))
