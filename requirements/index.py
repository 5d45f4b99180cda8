"""The files of a release, as pip finds them here: with its indexes, mirrors and credentials.

pip has no command that tells the hashes of files which it doesn't install, so this asks the classes below its commands.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pip._internal.commands import create_command
from pip._internal.exceptions import InvalidWheelFilename
from pip._internal.index.collector import LinkCollector, parse_links
from pip._internal.models.link import Link
from pip._internal.models.wheel import Wheel
from pip._internal.utils.compatibility_tags import get_supported
from pip._vendor.packaging.tags import Tag

from requirements.lists import normalized

GLIBC_MINOR = 35
"""The newest glibc, 2.x, that a wheel may ask for."""
SDIST = re.compile(r"(.+)-([^-]+)\.(?:tar\.gz|zip|tar\.bz2)")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a release and its sha256."""

    name: str
    sha256: str


class Index:
    """Asks each index once for each project."""

    def __init__(self, collector: LinkCollector) -> None:
        self._collector = collector
        self._links: dict[str, list[Link]] = {}

    def files(self, name: str, version: str) -> list[File]:
        """Every file of the release that an index has. A folder of wheels on this machine is no index."""
        if name not in self._links:
            self._links[name] = list(self._all_links(name))
        found = {
            File(link.filename, _sha256(link))
            for link in self._links[name]
            if is_of(link.filename, name, version)
        }
        if len({file.name for file in found}) != len(found):
            raise SystemExit(f"{name} {version}: two indexes have different files of the same name")
        return sorted(found, key=lambda file: file.name)

    def _all_links(self, name: str) -> Iterator[Link]:
        for source in self._collector.collect_sources(name, candidates_from_page=self._page).index_urls:
            yield from source.page_candidates() if source else ()

    def _page(self, location: Link) -> Iterable[Link]:
        content = self._collector.fetch_response(location)
        return parse_links(content) if content else ()


@contextmanager
def opened_index(*arguments: str) -> Iterator[Index]:
    """With pip's configuration, and `arguments` as its command line has them."""
    command = create_command("download")
    options, _ = command.parse_args([*arguments, "nothing"])
    with command.main_context():
        yield Index(LinkCollector.create(command.get_default_session(options), options=options))


def is_of(file: str, name: str, version: str) -> bool:
    """Whether a file's name is one of this release."""
    if file.endswith(".whl"):
        try:
            wheel = Wheel(file)
        except InvalidWheelFilename:
            return False
        return normalized(wheel.name) == name and wheel.version == version
    found = SDIST.fullmatch(file)
    return found is not None and normalized(found[1]) == name and found[2] == version


def pythons_without_wheel(files: Iterable[str], minors: Iterable[int]) -> list[str]:
    """Those of the Pythons 3.x for which no wheel fits on Linux and x86-64."""
    wheels = [Wheel(file) for file in files if file.endswith(".whl")]
    return [f"3.{minor}" for minor in minors if not any(wheel.supported(_tags(minor)) for wheel in wheels)]


def _tags(minor: int) -> list[Tag]:
    platforms = [f"manylinux_2_{glibc}_x86_64" for glibc in range(GLIBC_MINOR, 4, -1)]
    platforms += [f"manylinux{year}_x86_64" for year in ("2014", "2010", "1")]
    return list(get_supported(version=f"3{minor}", platforms=[*platforms, "linux_x86_64"]))


def _sha256(link: Link) -> str:
    if link.hash_name == "sha256" and link.hash:
        return str(link.hash)
    if link.is_file:
        return file_sha256(Path(link.file_path))
    raise SystemExit(f"{link.filename}: its index gives no sha256")


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
