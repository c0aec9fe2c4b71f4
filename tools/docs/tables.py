# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Renew the tables of docs/ that are made of the code.

They stand between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``. With
``--check`` nothing is written: the exit code is 1 if a table is not that of
the code.
"""
# ruff: noqa: E402

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The package of this checkout, installed or not.
sys.path.insert(0, str(ROOT))

import yaml

from mmtvface.cli import animate, prepare, reconstruct, view
from mmtvface.dataset_tools.settings import ClipSettings
from mmtvface.export.writer import kinds_table
from mmtvface.utils.settings import Settings, add_options


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars in cells are escaped."""

    def line(cells: Sequence[str]) -> str:
        escaped = [cell.replace('|', r'\|') for cell in cells]
        return f'| {" | ".join(escaped)} |'

    return '\n'.join([line(head), '|' + '---|' * len(head),
                      *map(line, rows)]) + '\n'


def zoo() -> str:
    """All configs by collection, from the metafiles."""
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text('utf-8'))
    parts = []
    for path in index['Import']:
        content = yaml.safe_load((ROOT / path).read_text('utf-8'))
        collection, = content['Collections']
        paper = collection.get('Paper')
        intro = [f'[README]({_link(collection["README"])}).',
                 'Architecture: '
                 f'{"; ".join(collection["Metadata"]["Architecture"])}.']
        if paper:
            intro.append(f'Paper: [{paper["Title"]}]({paper["URL"]}).')
        rows = []
        for model in content['Models']:
            results = ['; '.join(
                f'{name} {value}' for name, value in result['Metrics'].items())
                + f' ({result["Dataset"]})'
                for result in model.get('Results', [])]
            weights = f'`{model["Weights"]}`' if 'Weights' in model else ''
            rows.append([f'[{model["Name"]}]({_link(model["Config"])})',
                         str(model['Metadata']['Training Data']),
                         '<br>'.join(results), weights])
        parts += [f'## {collection["Name"]}\n', ' '.join(intro) + '\n',
                  table(['config', 'trained on', 'results', 'weights'], rows)]
    return '\n'.join(parts)


def options(settings: type[Settings]) -> Callable[[], str]:
    """Makes the table of a command's options, as its help has them."""

    def rows() -> str:
        parser = argparse.ArgumentParser(add_help=False)
        add_options(parser, settings)
        found = []
        for action in parser._actions:
            names = action.metavar or action.choices or (
                () if action.nargs == 0 else action.dest.upper())
            if not isinstance(names, str):
                names = (' ' if action.metavar else ', ').join(names)
            text = action.help.replace('%%', '%')
            found.append([f'`{action.option_strings[0]}`',
                          f'`{names}`' if names else '',
                          re.sub(r'(--[a-z][a-z-]*|<[a-z_ ]+>)', r'`\1`',
                                 text)])
        return table(['option', 'value', 'what'], found)

    return rows


def _link(path: str) -> str:
    return os.path.relpath(ROOT / path, ROOT / 'docs').replace(os.sep, '/')


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    'exports': ('docs/exports.md', kinds_table),
    'reconstruct': ('docs/user_guide/reconstruct.md',
                    options(reconstruct.CommandSettings)),
    'transfer': ('docs/user_guide/animate.md',
                 options(animate.TransferCommand)),
    'teaser': ('docs/user_guide/animate.md', options(animate.TeaserCommand)),
    'prepare': ('docs/user_guide/prepare.md',
                options(prepare.PrepareCommand)),
    'clips': ('docs/user_guide/prepare.md', options(ClipSettings)),
    'view': ('docs/user_guide/view.md', options(view.ViewCommand)),
    'zoo': ('docs/model_zoo.md', zoo),
}


def renewed(page: str, name: str, text: str) -> str:
    """A page with other text between the marks of a name.

    Raises:
        ValueError: If the page has no place for it.
    """
    begin, end = f'<!-- {name}: begin -->', f'<!-- {name}: end -->'
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f'the page must hold {begin} and {end} once')
    before, rest = page.split(begin)
    return f'{before}{begin}\n{text}{end}{rest.split(end)[1]}'


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--check', action='store_true',
                        help='write nothing, tell what would change')
    args = parser.parse_args(argv)
    changed = 0
    for name, (path, make) in TABLES.items():
        page = ROOT / path
        old = page.read_text('utf-8')
        new = renewed(old, name, make())
        if new != old:
            changed += 1
            sys.stdout.write(f'{path}: {name} differs'
                             + ('; run make tables\n' if args.check else
                                ', renewed\n'))
            if not args.check:
                page.write_text(new, 'utf-8')
    return int(bool(changed and args.check))


if __name__ == '__main__':
    sys.exit(main())
