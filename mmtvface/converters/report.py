# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What became of every tensor of a converted file."""

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtvface.utils.atomic import atomic_path

if TYPE_CHECKING:
    from rich.table import Table

MAPPED, UNUSED, MISSING = 'mapped', 'unused', 'missing'


@dataclass(frozen=True)
class TensorRecord:
    """The fate of one tensor.

    Attributes:
        status: ``'mapped'``; ``'unused'``: in the file, not needed by
            design; ``'missing'``: in the model, not in the file, by design.
        source: Name in the file, None if missing.
        target: Name in the model, None if unused.
        shape: Its shape.
        note: Why it is unused or missing, or how it was changed.
    """

    status: str
    source: str | None
    target: str | None
    shape: tuple[int, ...]
    note: str = ''

    @property
    def num_values(self) -> int:
        """How many numbers it holds."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True)
class ConversionReport:
    """Account of a conversion.

    Attributes:
        source: Name of the file.
        records: One per tensor of the file or the model.
        facts: What the file was found to be.
        overrides: Options, as of ``--cfg-options``, that the config needs
            for these weights.
        notes: What else a user must know.
    """

    source: str
    records: Sequence[TensorRecord]
    facts: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def count(self, status: str) -> int:
        """Number of tensors with a status."""
        return sum(record.status == status for record in self.records)

    def with_notes(self, *notes: str) -> 'ConversionReport':
        """A copy with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def groups(self) -> list[dict[str, Any]]:
        """Records summed up by part, status and note, in order."""
        parts: dict[tuple, list[TensorRecord]] = {}
        for record in self.records:
            key = (_part(record.source), record.status, record.note,
                   '' if record.source else _part(record.target))
            parts.setdefault(key, []).append(record)
        return [
            dict(source=key[0],
                 target=_common([record.target for record in records]),
                 status=key[1],
                 note=key[2],
                 tensors=len(records),
                 values=sum(record.num_values for record in records))
            for key, records in parts.items()
        ]

    def table(self) -> 'Table':
        """The groups as a table of rich."""
        from rich.table import Table
        table = Table(title=f'Tensors of {self.source}', show_footer=True)
        table.add_column('in the file', 'sum', overflow='fold')
        table.add_column('in the model', overflow='fold')
        table.add_column('status')
        groups = self.groups()
        for key in ('tensors', 'values'):
            total = sum(row[key] for row in groups
                        if row['status'] == MAPPED)
            table.add_column(key, f'{total:,} mapped', justify='right')
        table.add_column('note')
        for row in groups:
            table.add_row(row['source'], row['target'], row['status'],
                          f'{row["tensors"]:,}', f'{row["values"]:,}',
                          row['note'])
        return table

    def to_dict(self) -> dict[str, Any]:
        """Plain containers of everything, for JSON."""
        return dict(
            source=self.source,
            facts=dict(self.facts),
            overrides=dict(self.overrides),
            notes=list(self.notes),
            counts={
                status: self.count(status)
                for status in (MAPPED, UNUSED, MISSING)
            },
            tensors=[asdict(record) for record in self.records])

    def save(self, path: str | os.PathLike) -> None:
        """Write all records as JSON; the folder is made if needed."""
        path = Path(path).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part:
            part.write_text(
                json.dumps(self.to_dict(), indent=1) + '\n', encoding='utf-8')


def _part(name: str | None) -> str:
    """First components of a name: enough to tell the parts of a model."""
    if name is None:
        return '-'
    words = name.split('.')
    words = words[:max(1, min(3, len(words) - 1))]
    while len(words) > 1 and words[-1].isdigit():
        del words[-1]
    return '.'.join(words)


def _common(names: Sequence[str | None]) -> str:
    """What dotted names begin with."""
    if None in names:
        return '-'
    columns = zip(*(name.split('.') for name in names), strict=False)
    return '.'.join(itertools.chain.from_iterable(
        itertools.takewhile(lambda words: len(words) == 1,
                            (set(words) for words in columns))))
