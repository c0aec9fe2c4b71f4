# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What mkdocs does here beyond its plugins.

Pages of the repository that stay beside what they describe
(``configs/*/README.md``, ``data/README.md``, ...) become pages of the site
under ``repository/``. Links are written as they work in the repository; those
that leave ``docs/`` lead to these pages, or to a copy of the file as text.
Formulas become MathML, so that no script has to be fetched.
"""

import html
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

REPO = Path(__file__).resolve().parents[2]
PAGES = ('CONTRIBUTING.md', 'data/README.md', 'configs/**/README*.md',
         'tools/**/README.md')
PREFIX = 'repository/'
_CODE = re.compile(r'^(`{3,}|~{3,}).*?^\1\s*$|`[^`\n]+`', re.M | re.S)
_LINK = re.compile(r'(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]'
                   r'\((?P<target>[^()\s]+)\)')
_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)


def repository_pages() -> list[str]:
    """Pages outside of docs/ that the site shows, relative to the root."""
    return sorted({path.relative_to(REPO).as_posix()
                   for pattern in PAGES for path in REPO.glob(pattern)
                   if 'node_modules' not in path.parts})


def links(markdown: str) -> Iterator[re.Match]:
    """Links and pictures of a page that are not within code."""
    return _LINK.finditer(_CODE.sub(
        lambda code: re.sub(r'[^\n]', ' ', code.group()), markdown))


def resolved(page: str, target: str) -> str | None:
    """Path of what a link leads to, relative to the root.

    Args:
        page: Path of the page that has the link, relative to the root.
        target: As it is written, without an anchor.

    Returns:
        None for addresses, and for anchors of the page itself.
    """
    if not target or re.match(r'[a-z]+:', target):
        return None
    return os.path.normpath((PurePosixPath(page).parent / target).as_posix())


def site_path(path: str) -> str:
    """Path within the site's sources of a file of the repository."""
    if path.startswith('docs/'):
        return path.removeprefix('docs/')
    if path == 'README.md':
        return 'index.md'
    if path in repository_pages() or path.endswith(('.jpg', '.png')):
        return PREFIX + path
    return f'{PREFIX}{path}.txt'


def repository_path(uri: str) -> str:
    """The reverse of :func:`site_path`, for pages."""
    if uri.startswith(PREFIX):
        return uri.removeprefix(PREFIX)
    return f'docs/{uri}'


def on_files(files: Files, config) -> Files:
    """Add the pages of the repository, and the files that pages link to."""
    pages = {f'docs/{file.src_uri}' for file in files.documentation_pages()}
    for page in repository_pages():
        pages.add(page)
        files.append(File.generated(
            config, PREFIX + page, content=(REPO / page).read_text('utf-8')))
    for page in sorted(pages):
        for link in links((REPO / page).read_text('utf-8')):
            path = resolved(page, link['target'].split('#')[0])
            if path is None or path.startswith('docs/'):
                continue
            uri = site_path(path)
            if (REPO / path).is_file() and uri not in files.src_uris:
                files.append(File.generated(
                    config, uri, content=(REPO / path).read_bytes()))
    return files


def on_page_markdown(markdown: str, page, config, files: Files) -> str:
    """Let links that leave docs/ lead to their pages in the site."""
    here = repository_path(page.file.src_uri)
    parts, end = [], 0
    for link in links(markdown):
        target, _, anchor = link['target'].partition('#')
        path = resolved(here, target)
        if path is None or (here.startswith('docs/')
                            and path.startswith('docs/')):
            continue
        text = markdown[link.start('text'):link.end('text')]
        if (REPO / path).is_dir() and (REPO / path / 'README.md').is_file():
            path = f'{path}/README.md'
        if (REPO / path).is_dir():
            new = text
        else:
            uri = os.path.relpath(
                site_path(path),
                PurePosixPath(page.file.src_uri).parent.as_posix())
            anchor = f'#{anchor}' if anchor else ''
            new = f'{link["image"]}[{text}]({uri}{anchor})'
        parts += [markdown[end:link.start()], new]
        end = link.end()
    return ''.join([*parts, markdown[end:]])


def on_page_content(content: str, page, config, files: Files) -> str:
    """Formulas as MathML."""

    def mathml(match: re.Match) -> str:
        return convert(html.unescape(match.group(3)),
                       display='block' if match.group(2) == '[' else 'inline')

    return _FORMULA.sub(mathml, content)
