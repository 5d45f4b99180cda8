"""Every published form of a model as data: `schemas/weights/*.json`, checked and typed. Adding one is adding data.

GB are 10^9 bytes, as the model cards count.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import jsonschema_rs
import orjson

from app.errors import SettingsError, printable
from app.program import program
from app.resources import resource
from app.settings.check import did_you_mean

FOLDER: Final = resource("schemas/weights")
SCHEMA_FILE: Final = "weights.schema.json"
GB: Final = 10**9

Device = Literal["gpu", "cpu"]
HubName = Literal["huggingface", "modelscope"]


@dataclass(frozen=True, slots=True)
class Copy:
    """Where a hub has the files. `files` and `leave_out` are patterns of paths in the repository."""

    hub: HubName
    repository: str
    revision: str
    files: tuple[str, ...]
    leave_out: tuple[str, ...] = ()

    @property
    def single_file(self) -> str | None:
        """The one file that the variant consists of; None where the weights are a folder."""
        return self.files[0] if len(self.files) == 1 and "*" not in self.files[0] else None


@dataclass(frozen=True, slots=True)
class Run:
    """An engine that can load the variant, on which devices, with how much of the device's memory; on a GPU also with
    `host_memory_gb` of the machine's.

    `packages` are Python packages that it needs besides its own; `refused` is why the engine does not load it
    although a card names the two together.
    """

    engine: str
    devices: tuple[Device, ...]
    memory_gb: float
    host_memory_gb: float = 0.0
    packages: tuple[str, ...] = ()
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """One form. `format` and `quantization` are xinference's words; None is what no card says. `max_ram_gb` is the memory
    that a card names, what an engine demands is its run's.
    """

    id: str
    format: str
    quantization: str
    bits: int
    group_size: int | None
    act_order: bool | None
    size_gb: float
    published: bool
    note: str
    hubs: tuple[Copy, ...]
    engines: tuple[Run, ...]
    max_ram_gb: float | None = None

    def run(self, engine: str) -> Run | None:
        """How an engine runs it, None where it does not."""
        return next((run for run in self.engines if run.engine == engine), None)

    def copy(self, hub: str) -> Copy:
        """Raises SettingsError for a hub that does not have it."""
        for copy in self.hubs:
            if copy.hub == hub:
                return copy
        there = " or ".join(copy.hub for copy in self.hubs)
        raise SettingsError(f"{self.id} is not on the hub {printable(hub)}: pull it from {there}")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The variants of one model, in the order of the file. `preference` has each of their ids once, best first.

    `original` is the repository of the weights that they all are forms of, `cards` the names of its model cards.
    """

    model: str
    size_in_billions: float
    original: str
    source: tuple[str, ...]
    gpu_preference: tuple[str, ...]
    cpu_preference: tuple[str, ...]
    variants: tuple[Variant, ...]
    cards: tuple[str, ...] = ()

    def has_form(self, weights: str) -> bool:
        """Whether the setting `weights` is a variant or a variant's repository."""
        repositories = {copy.repository for variant in self.variants for copy in variant.hubs}
        return weights in repositories or find_variant((self,), weights) is not None

    def preferred(self, device: Device) -> list[Variant]:
        """All variants, best first for a machine that computes on `device`."""
        by_id = {variant.id: variant for variant in self.variants}
        return [by_id[name] for name in (self.gpu_preference if device == "gpu" else self.cpu_preference)]


def load_catalogues(folder: Path = FOLDER) -> tuple[Catalogue, ...]:
    """Every file of the folder. Raises SettingsError: one line with the file, the place in it and the rule."""
    shape = jsonschema_rs.Draft202012Validator(_read(folder / SCHEMA_FILE), mask="the value", offline=True)
    paths = sorted(path for path in folder.glob("*.json") if path.name != SCHEMA_FILE)
    catalogues = tuple(_load(path, shape) for path in paths)
    ids = variant_ids(catalogues)
    for index, name in enumerate(ids):
        if name in ids[:index]:
            raise SettingsError(f"{folder}: two variants have the id {name}: keep one")
    return catalogues


def find_variant(catalogues: tuple[Catalogue, ...], name: str) -> Variant | None:
    """The variant of an id, None when there is none."""
    return next((v for each in catalogues for v in each.variants if v.id == name), None)


def original_of(catalogues: tuple[Catalogue, ...], weights: str) -> str:
    """Under which name adapters for the setting `weights` are kept: what fits one form of a model fits them all.

    Weights that are no variant, nor a variant's repository, have adapters of their own.
    """
    for catalogue in catalogues:
        if catalogue.has_form(weights):
            return catalogue.original
    return weights


def variant_ids(catalogues: tuple[Catalogue, ...]) -> list[str]:
    """Of all catalogues, in their order."""
    return [variant.id for each in catalogues for variant in each.variants]


def named_variant(catalogues: tuple[Catalogue, ...], name: str) -> Variant:
    """The variant that a person typed, in whatever case. Raises SettingsError."""
    typed = name.strip().casefold()
    variant = next((v for each in catalogues for v in each.variants if v.id.casefold() == typed), None)
    if variant is None:
        near = did_you_mean(name, variant_ids(catalogues))
        raise SettingsError(f"no variant {printable(name)}{near}: `{program()} weights list` has them all")
    return variant


def _load(path: Path, shape: Any) -> Catalogue:
    raw = _read(path)
    try:
        shape.validate(raw)
    except jsonschema_rs.ValidationError as error:
        place = "/" + "/".join(str(step) for step in error.instance_path)
        raise SettingsError(f"{path}: at {printable(place)}: {printable(error.message)}") from None
    catalogue = Catalogue(
        model=raw["model"],
        size_in_billions=raw["size_in_billions"],
        original=raw["original"],
        source=tuple(raw["source"]),
        gpu_preference=tuple(raw["preference"]["gpu"]),
        cpu_preference=tuple(raw["preference"]["cpu"]),
        variants=tuple(_variant(item) for item in raw["variants"]),
        cards=tuple(raw.get("cards", ())),
    )
    _check_preference(path, catalogue)
    return catalogue


def _check_preference(path: Path, catalogue: Catalogue) -> None:
    ids = {variant.id for variant in catalogue.variants}
    for device in ("gpu", "cpu"):
        listed = set(getattr(catalogue, f"{device}_preference"))
        if wrong := sorted(ids ^ listed):
            raise SettingsError(
                f"{path}: preference.{device} must name each variant once: look at {', '.join(wrong)}"
            )


def _variant(item: dict[str, Any]) -> Variant:
    hubs = tuple(
        Copy(
            hub["hub"],
            hub["repository"],
            hub["revision"],
            tuple(hub["files"]),
            tuple(hub.get("leave_out", ())),
        )
        for hub in item["hubs"]
    )
    engines = tuple(_run(run) for run in item["engines"])
    return Variant(**{**item, "hubs": hubs, "engines": engines})


def _run(item: dict[str, Any]) -> Run:
    packages = tuple(item.get("packages", ()))
    return Run(**{**item, "devices": tuple(item["devices"]), "packages": packages})


def _read(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"{path}: not JSON: line {error.lineno}: {error.msg}") from None
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror}") from None
