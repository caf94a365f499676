"""Text that others have chosen, on Prefect's pages: it stays text."""

from __future__ import annotations

import re

from gomr_runtime.errors import one_line

# What begins anything in Markdown or HTML, and what makes a link of an address.
_MEANS_SOMETHING = re.compile(
    r"[&<>\[\]`*~|\\!#$@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=www)\.|^[-+=:]",
    re.IGNORECASE,
)


def as_markdown(text: str) -> str:
    """Markdown, without line breaks, that shows `text` as it is."""
    return _MEANS_SOMETHING.sub(lambda found: f"&#{ord(found[0])};", one_line(text))
