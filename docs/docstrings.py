"""Docstrings as the API reference shows them: the source says the same in Sphinx's words."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object


class OurWords(Extension):
    """Examples as code, names of classes as names."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrites the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = for_reference(obj.docstring.value)


def for_reference(text: str) -> str:
    r"""A docstring whose example is a section of its own and whose roles are plain names.

    Example:
        >>> print(for_reference("See :class:`~mmrl.modality.Batch`.\n\nExample:\n    A loop::"))
        See `Batch`.
        <BLANKLINE>
        Examples:
            A loop:
    """
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text)
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
    return re.sub(r"::$", ":", text, flags=re.MULTILINE)
