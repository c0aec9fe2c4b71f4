# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Tables as text in Markdown."""

from collections.abc import Sequence


def markdown_table(headers: Sequence[str],
                   rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are padded; all but the first align right.

    Raises:
        ValueError: If a row is not as long as the headers.
    """
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(f'A row must have {len(headers)} cells as the '
                             f'headers {tuple(headers)}, but it is '
                             f'{tuple(row)}.')
    cells = [[str(cell).replace('|', '\\|') for cell in row]
             for row in (headers, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells))
              for i in range(len(headers))]

    def line(row: Sequence[str]) -> str:
        padded = [row[0].ljust(widths[0]), *(
            cell.rjust(width)
            for cell, width in zip(row[1:], widths[1:], strict=True))]
        return '| ' + ' | '.join(padded) + ' |'

    rule = '|'.join([':' + '-' * (widths[0] + 1), *(
        '-' * (width + 1) + ':' for width in widths[1:])])
    return '\n'.join([line(cells[0]), f'|{rule}|',
                      *(line(row) for row in cells[1:])]) + '\n'
