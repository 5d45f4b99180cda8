"""The tables of docs/weights.md, made from the data: `python -m tests.weights.tables` writes them."""

import re
from collections.abc import Callable, Iterable, Iterator

from app.engines.registry import ENGINES
from app.settings import CHECKOUT
from app.weights.variants import Catalogue, Run, Variant, load_catalogues

PAGE = CHECKOUT / "docs" / "weights.md"
BLOCK = re.compile(r"(<!-- data: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
GGUF = ("ggufv2", "llamafile")


def with_tables(page: str) -> str:
    """The page with every block of data as it should be."""
    catalogue = load_catalogues()[0]

    def made(block: re.Match[str]) -> str:
        lines = "".join(line + "\n" for line in TABLES[block[2]](catalogue))
        return f"{block[1]}{lines}{block[3]}"

    return BLOCK.sub(made, page)


def folders(catalogue: Catalogue) -> Iterator[str]:
    yield from _head(
        "variant", "--model-format", "--quantization", "bits, group", "disk", "memory", "the card says"
    )
    for variant in catalogue.variants:
        if variant.format not in GGUF:
            group = "" if variant.group_size is None else f", {variant.group_size}"
            memory = "; ".join(_memory(run) for run in variant.engines)
            words = (f"`{variant.id}`", variant.format, variant.quantization)
            yield _row(*words, f"{variant.bits}{group}", _disk(variant), memory, variant.note)


def files(catalogue: Catalogue) -> Iterator[str]:
    yield from _head("variants", "--quantization", "bits", "disk", "memory", "its card's", "what")
    by_word: dict[str, list[Variant]] = {}
    for variant in catalogue.variants:
        if variant.format in GGUF:
            by_word.setdefault(variant.quantization, []).append(variant)
    for word, variants in by_word.items():
        first = variants[0]
        same = {(v.bits, v.size_gb, v.engines, v.note) for v in variants}
        assert len(same) == 1, word
        ids = ", ".join(f"`{variant.id}`" for variant in variants)
        size, memory = f"{first.size_gb:.2f} GB", f"{first.engines[0].memory_gb:.2f} GB"
        card = next(f"{v.max_ram_gb:.2f} GB" for v in variants if v.max_ram_gb is not None)
        yield _row(ids, word, str(first.bits), size, memory, card, first.note)


def hubs(catalogue: Catalogue) -> Iterator[str]:
    yield from _head("--model-format", "hub", "repository", "files")
    seen = set()
    for variant in catalogue.variants:
        for copy in variant.hubs:
            if (variant.format, copy.repository) not in seen:
                seen.add((variant.format, copy.repository))
                which = "one" if copy.single_file else ", ".join(f"`{pattern}`" for pattern in copy.files)
                yield _row(variant.format, copy.hub, copy.repository, which)


def rules(catalogue: Catalogue) -> Iterator[str]:
    yield from (f"- {rule}" for rule in catalogue.source)


def _memory(run: Run) -> str:
    where = " or ".join("GPU" if device == "gpu" else "CPU" for device in run.devices)
    needs = f", with {' and '.join(run.packages)}" if run.packages else ""
    if run.refused is not None:
        return f"not {ENGINES[run.engine].title}: {run.refused}"
    return f"{ENGINES[run.engine].title} {run.memory_gb:.2f} GB ({where}{needs})"


def _disk(variant: Variant) -> str:
    return f"{variant.size_gb:.2f} GB" if variant.published else f"{variant.size_gb:.2f} GB (derived)"


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield "|---" * len(names) + "|"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


TABLES: dict[str, Callable[[Catalogue], Iterable[str]]] = {
    "folders": folders,
    "files": files,
    "hubs": hubs,
    "rules": rules,
}

if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
