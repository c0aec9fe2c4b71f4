# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The pages: links, commands, examples, generated parts, the site."""

import ast
import contextlib
import doctest
import functools
import importlib
import importlib.util
import pkgutil
import re
import shlex
import subprocess
import sys

import pytest
import yaml
from helpers.pages import REPO, anchors, code_blocks, links, pages

from mmtvface.cli.main import COMMANDS

each_page = pytest.mark.parametrize(
    'page', pages(), ids=lambda page: page.relative_to(REPO).as_posix())
MODULES = sorted(
    path for path in (REPO / 'mmtvface').rglob('*.py')
    if '>>> ' in path.read_text(encoding='utf-8'))


@each_page
def test_links_lead_somewhere(page):
    for target in links(page):
        path, _, anchor = target.partition('#')
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert linked.is_relative_to(REPO), target
        if anchor:
            assert linked.suffix == '.md', target
            assert anchor in anchors(linked), target


@each_page
def test_python_of_pages_is_python(page):
    for language, _, code in code_blocks(page):
        if language == 'python':
            ast.parse(code)


def commands(page):
    """Lines of the shell blocks as words; placeholders in [] are left out."""
    for language, _, code in code_blocks(page):
        if language in ('bash', 'console'):
            code = re.sub(r'\[[^\]]*\]', '', code.replace('\\\n', ' '))
            for line in re.sub(r'\$\([^)]*\)', 'name', code).splitlines():
                with contextlib.suppress(ValueError):  # of several lines
                    if words := shlex.split(line, comments=True):
                        yield words


@functools.cache
def all_options():
    """Options of all scripts."""
    return {option for folder in ('tools', 'mmtvface')
            for path in (REPO / folder).rglob('*.py')
            for option in re.findall(r"'(--[a-z][a-z-]+)'", path.read_text(
                encoding='utf-8'))}


@each_page
def test_commands_of_pages_exist(page):
    for words in commands(page):
        for word in words:
            if re.match(r'(tools|configs)/[^{]*\.(py|sh)$', word):
                assert (REPO / word).is_file(), words
        if words[0] == 'mmtvface':
            assert words[1] in COMMANDS, words
            module = importlib.import_module(f'mmtvface.cli.{words[1]}')
            # An option or a value that does not exist ends the program. What
            # guides add exists when they are followed, as another test does.
            if page.parent.name != 'extend':
                module.parse_args(words[2:])
        elif words[0] == 'python' and words[1].startswith('tools/'):
            for word in words:
                if word.startswith('--'):
                    assert word.split('=')[0] in all_options(), words


def test_walks_are_short_and_real():
    text = (REPO / 'docs/architecture.md').read_text(encoding='utf-8')
    walks = re.findall(r'^## Walk \d: .*?(?=^## )', text, re.M | re.S)
    assert len(walks) == 2
    for walk in walks:
        steps = re.findall(r'^\d+\. `([\w/.]+)`: (.*(?:\n   .*)*)', walk, re.M)
        files = {path for path, _ in steps}
        assert 5 <= len(files) <= 12
        for path, said in steps:
            code = (REPO / 'mmtvface' / path).read_text(encoding='utf-8')
            names = re.findall(r'`([\w.]+)`', said)
            assert names, path
            for name in names:
                assert re.search(rf'\b{name.split(".")[-1]}\b', code), (
                    path, name)


def test_readme_is_one_page():
    lines = (REPO / 'README.md').read_text(encoding='utf-8').splitlines()
    assert len(lines) <= 150


def test_every_page_is_in_the_navigation():

    def files(entries):
        for entry in entries:
            for value in entry.values():
                yield from files(value) if isinstance(value, list) else [value]

    # The theme's own tags are of no interest here.
    text = (REPO / 'mkdocs.yml').read_text(encoding='utf-8')
    listed = sorted(files(yaml.safe_load(text)['nav']))
    shown = [path for path in listed if not path.startswith('repository/')]
    assert shown == sorted(
        path.relative_to(REPO / 'docs').as_posix()
        for path in (REPO / 'docs').rglob('*.md'))
    for path in set(listed) - set(shown):
        assert (REPO / path.removeprefix('repository/')).is_file()


def test_pages_of_the_reference_name_what_there_is():
    for page in (REPO / 'docs/api').glob('*.md'):
        for name in re.findall(r'^::: ([\w.]+)$', page.read_text(
                encoding='utf-8'), re.M):
            assert pkgutil.resolve_name(name), name


@pytest.mark.parametrize(
    'path', MODULES, ids=lambda path: path.relative_to(REPO).as_posix())
def test_examples_of_docstrings(path):
    name = '.'.join(path.relative_to(REPO).with_suffix('').parts)
    found = doctest.testmod(importlib.import_module(name),
                            optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted
    assert not found.failed


def test_generated_tables_are_those_of_the_code(tmp_path):
    done = subprocess.run(
        [sys.executable, 'tools/docs/tables.py', '--check'], cwd=REPO,
        text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(importlib.util.find_spec('mkdocs') is None,
                    reason='mkdocs is not installed (requirements/docs.txt)')
def test_the_site_is_built_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict',
         '--site-dir', str(tmp_path / 'site')],
        cwd=REPO, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / 'site/api/geometry.html').read_text(encoding='utf-8')
    assert '<math' in text
    for page in (tmp_path / 'site').rglob('*.html'):
        html = page.read_text(encoding='utf-8')
        fetched = re.findall(
            r'<(?:script|img|link|iframe)[^>]*(?:src|href)="(https?://[^"]+)',
            html)
        assert not fetched, page
