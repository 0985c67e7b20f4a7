"""Pages of the site that live elsewhere in the repository, where readers look for them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "licences.md": "mmrl/data/files/LICENSES.md",
}
"""Files of the repository by page of the site."""


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The file's text in place of the page's, its links as they are within the site."""
    name = PAGES.get(page.file.src_uri)
    return markdown if name is None else within_site((ROOT / name).read_text("utf-8"))


def within_site(text: str) -> str:
    """Links between files of the repository as links between pages of the site.

    Example:
        >>> within_site("[data](docs/data.md#scores), [rules](CONTRIBUTING.md)")
        '[data](data.md#scores), [rules](contributing.md)'
    """
    text = re.sub(r"\]\(docs/", "](", text)
    for page, name in PAGES.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text
