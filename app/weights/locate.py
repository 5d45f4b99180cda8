"""A pulled variant on disk: its folder or file in the usual cache, whole or not at all. Nothing is downloaded."""

from contextlib import suppress
from pathlib import Path

from app.errors import StartupError
from app.program import program
from app.weights import modelscope
from app.weights.hub_errors import check_endpoint
from app.weights.machine import cache_folder
from app.weights.variants import Copy, Variant


def locate(variant: Variant) -> Path:
    """The variant's file, or the folder of its files. Raises StartupError with the command that pulls it."""
    path = find_pulled(variant)
    if path is None:
        raise StartupError(
            f"weights: {variant.id} ({variant.size_gb:.2f} GB) is not in the cache: "
            f"pull it with `{program()} weights pull {variant.id}`"
        )
    return path


def find_pulled(variant: Variant) -> Path | None:
    """As `locate`, None where it is not there or not whole. The Hugging Face cache comes first."""
    for copy in variant.hubs:
        path = in_hugging_face_cache(copy) if copy.hub == "huggingface" else modelscope.find(copy)
        if path is not None:
            return path
    return None


def in_hugging_face_cache(copy: Copy) -> Path | None:
    """The file or snapshot folder of a copy, when every file that its repository has for it is there.

    The hub's client lists a repository's files beside their snapshot (`trees/`) and so knows what is missing.
    Raises SettingsError where it can't be imported.
    """
    check_endpoint()
    import huggingface_hub  # noqa: PLC0415  half a second that a folder or the stand-in does not need

    cache = cache_folder()
    with suppress(
        OSError
    ):  # the hub's LocalEntryNotFoundError, or a cache that can't be read: a pull names the cause
        if copy.single_file is not None:
            file = huggingface_hub.hf_hub_download(
                copy.repository,
                copy.single_file,
                revision=copy.revision,
                cache_dir=cache,
                local_files_only=True,
            )
            return Path(file)
        folder = huggingface_hub.snapshot_download(
            copy.repository,
            revision=copy.revision,
            cache_dir=cache,
            allow_patterns=list(copy.files),
            ignore_patterns=list(copy.leave_out) or None,
            local_files_only=True,
        )
        return Path(folder)
    return None
