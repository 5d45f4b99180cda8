"""The pictures in docs/playground.md, made again with `make screenshots`: the real page on the real engine."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.live.browser import launched
from tests.live.playground.visit import WIDE, Visit, visiting
from tests.live.server import CHECKOUT, LiveServer

IMAGES = CHECKOUT / "docs" / "images"


def compare(visit: Visit) -> None:
    visit.choose_mode("Compare")
    for name in ("pirate", "json"):
        visit.page.get_by_label(name, exact=True).check()
    visit.set(temperature=0)
    visit.answer("What is Outworker?")


def chat(visit: Visit) -> None:
    visit.set(temperature=0)
    visit.answer("What is Outworker?")
    visit.choose_adapter("pirate")
    visit.answer("What is a LoRA adapter?")


PICTURES = {"playground-compare": (compare, "light"), "playground-chat": (chat, "dark")}


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, launched() as browser:
        server = LiveServer(Path(folder) / "data").start()
        try:
            server.wait_ready()
            for name, (prepare, scheme) in PICTURES.items():
                with visiting(browser, server, viewport=WIDE, color_scheme=scheme) as visit:
                    prepare(visit.open())
                    visit.page.evaluate("document.activeElement.blur()")
                    visit.page.wait_for_timeout(300)
                    visit.page.screenshot(path=IMAGES / f"{name}.png")
                    print(f"docs/images/{name}.png")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
