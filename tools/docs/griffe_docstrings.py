# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Docstrings as Markdown, for the API reference.

Docstrings name other parts by roles (``:func:`project` ``), as readers of the
code expect; in a page these become links where the reference has the target,
and code otherwise.
"""

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r':(?:attr|class|data|exc|func|meth|mod):`(~?)([^`]+)`')
_LITERAL = re.compile(r'(?m)^( *)(.*?)::$')


def to_markdown(text: str, scope: str = '') -> str:
    """Turn the roles and literal blocks of a docstring into Markdown.

    Args:
        text: A docstring.
        scope: Dotted name of the module that has it, for relative names.
    """

    def link(match: re.Match) -> str:
        short, name = match.groups()
        shown = name.rsplit('.', 1)[-1] if short else name.lstrip('.')
        target = name if '.' in name.strip('.') else f'{scope}.{name}'
        if name.startswith('.'):
            target = f'{scope.rsplit(".", 1)[0]}{name}'
        return (f'<autoref identifier="{target}" optional>'
                f'<code>{shown}</code></autoref>')

    return _LITERAL.sub(lambda match: match.group(1) + (
        f'{match.group(2)}:' if match.group(2) else ''),
        _ROLE.sub(link, text))


class MarkdownDocstrings(Extension):
    """Applies :func:`to_markdown` to every docstring."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Called for each object when all of them are loaded."""
        if obj.docstring and not obj.is_alias:
            module = obj if obj.is_module else obj.module
            obj.docstring.value = to_markdown(obj.docstring.value,
                                              module.path)
