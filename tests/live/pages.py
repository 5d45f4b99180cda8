"""What the pages of the docs show: blocks of code, which tests run as they stand."""

import re

from tests.live.server import CHECKOUT


def blocks(language: str, page: str) -> list[str]:
    """The text of each block in that language, in order; `page` is a path in the checkout."""
    return re.findall(rf"```{language}\n(.*?)```", (CHECKOUT / page).read_text("utf-8"), re.DOTALL)
