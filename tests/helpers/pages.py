# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The Markdown pages of the repository and what is in them."""

import functools
import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r'^(?P<indent> *)(?P<mark>`{3,})(?P<info>[^\n`]*)\n'
                    r'(?P<code>.*?)^ *(?P=mark) *$', re.M | re.S)
_LINK = re.compile(r'!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)')


def pages() -> list[Path]:
    """All pages that belong to the repository."""
    return sorted(
        path for pattern in ('*.md', 'docs/**/*.md', 'data/README.md',
                             'configs/**/*.md', 'tools/**/*.md')
        for path in REPO.glob(pattern) if 'node_modules' not in path.parts)


@functools.cache
def _prose(page: Path) -> str:
    """A page without its code."""
    text = _FENCE.sub('', page.read_text(encoding='utf-8'))
    return re.sub(r'`[^`\n]+`', lambda code: code.group().replace(
        '[', '').replace(']', '').replace('<', ''), text)


def links(page: Path) -> list[str]:
    """Targets of links and pictures that are no addresses."""
    return [target for target in _LINK.findall(_prose(page))
            if not re.match(r'[a-z]+:', target)]


@functools.cache
def anchors(page: Path) -> set[str]:
    """Names of the headings, as in the links of Markdown."""
    found: set[str] = set()
    for heading in re.findall(r'^#+ +(.*?)\s*$', _prose(page), re.M):
        text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading)
        slug = re.sub(r'[^\w\s-]', '', text).strip().lower()
        found.add(re.sub(r'[\s]', '-', slug))
    # Of what the reference shows; the build of the site knows them all.
    return found | set(re.findall(r'^::: ([\w.]+)$', _prose(page), re.M))


def code_blocks(page: Path) -> list[tuple[str, str, str]]:
    """Language, title ('' without one) and code of the fenced blocks."""
    blocks = []
    for match in _FENCE.finditer(page.read_text(encoding='utf-8')):
        language = match['info'].split()[0] if match['info'].split() else ''
        title = re.search(r'title="([^"]+)"', match['info'])
        indent = len(match['indent'])
        code = re.sub(rf'^ {{{indent}}}', '', match['code'], flags=re.M)
        blocks.append((language, title[1] if title else '', code))
    return blocks
