"""Write a CycloneDX file for each list of packages: `make sbom`, into the folder `sbom/`."""

import json
import tomllib
import uuid
from typing import Any

from requirements.lists import HERE, Pin, read_list

CHECKOUT = HERE.parent
SETS = {"cpu": ("torch-cpu", "cpu"), "cuda": ("cuda",), "light": ("light",), "dev": ("dev",)}
"""What one installation has, by the lists that it is made of."""
NAMESPACE = uuid.UUID("3f0a2c54-6a0b-5c55-9a3e-0d3f7f0f2b8e")


def main() -> None:
    folder = CHECKOUT / "sbom"
    folder.mkdir(exist_ok=True)
    for name, lists in SETS.items():
        pins = [pin for listed in lists for pin in read_list(HERE / f"{listed}.txt")]
        path = folder / f"{name}.cdx.json"
        path.write_text(json.dumps(bill(name, pins), indent=1) + "\n")
        print(f"{path.relative_to(CHECKOUT)}: {len(pins)} packages")


def bill(name: str, pins: list[Pin]) -> dict[str, Any]:
    """The same for the same lists: no clock and no chance is in it."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    components = [component(pin) for pin in sorted(pins, key=lambda pin: pin.name)]
    content = json.dumps([name, components])
    root = f"outworker@{project['version']}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(NAMESPACE, content).urn,
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": project["name"],
                "version": project["version"],
                "description": f"with the installation {name}",
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": [item["bom-ref"] for item in components]}],
    }


def component(pin: Pin) -> dict[str, Any]:
    """`hashes` has one for each file of the release: which one is installed depends on the machine."""
    purl = f"pkg:pypi/{pin.name}@{pin.version.replace('+', '%2B')}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": pin.name,
        "version": pin.version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": text} for text in pin.hashes],
    }


if __name__ == "__main__":
    main()
