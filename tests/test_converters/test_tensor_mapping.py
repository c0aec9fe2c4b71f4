# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json

import pytest
import torch

from mmtvface.converters import (
    ConversionError,
    ConversionReport,
    Rule,
    TensorRecord,
    convert_tensors,
)

RULES = (Rule(r'opt\..+', None, 'optimizer'),
         Rule(r'old\.(a|b)', r'new.\1'),
         Rule(r'also\.(.+)', r'new.\1', 'renamed'))


def model():
    return {'new.a': torch.zeros(2), 'new.b': torch.zeros(3, 2)}


def convert(source, expected=None, absent=()):
    return convert_tensors(source, RULES, expected or model(), absent,
                           'x.tar')


def test_every_tensor_is_accounted_for():
    source = {'opt.lr': torch.tensor(1.), 'old.b': torch.ones(3, 2).double(),
              'also.a': torch.arange(2.)}
    expected = model() | {'bn.num_batches_tracked': torch.tensor(7),
                          'rest.c': torch.zeros(1)}
    state, records = convert(source, expected, [Rule(r'rest\..+', None,
                                                     'later stage')])
    assert list(state) == ['new.a', 'new.b', 'bn.num_batches_tracked']
    assert state['new.a'].tolist() == [0, 1]
    assert state['new.b'].dtype == torch.float32
    assert state['bn.num_batches_tracked'] == 0
    assert sorted(records, key=lambda r: (r.source or '', r.target)) == [
        TensorRecord('missing', None, 'bn.num_batches_tracked', (),
                     'counter of batch norm, set to 0'),
        TensorRecord('missing', None, 'rest.c', (1, ), 'later stage'),
        TensorRecord('mapped', 'also.a', 'new.a', (2, ), 'renamed'),
        TensorRecord('mapped', 'old.b', 'new.b', (3, 2)),
        TensorRecord('unused', 'opt.lr', None, (), 'optimizer'),
    ]
    # No memory is shared with the file.
    state['new.a'][0] = 5
    assert source['also.a'][0] == 0


def test_all_faults_are_named_at_once():
    source = {'old.a': torch.zeros(3), 'odd.name': torch.zeros(1),
              'also.extra': torch.zeros(1)}
    with pytest.raises(ConversionError) as error:
        convert(source)
    message = str(error.value)
    assert 'x.tar' in message and 'nothing was written' in message
    assert '1 tensors have unknown names (odd.name)' in message
    assert 'no place in the model (also.extra)' in message
    assert 'other shapes (old.a is (3,) instead of (2,))' in message
    # new.a is there, with a wrong shape; new.b is not.
    assert 'of the model are missing in it (new.b)' in message


def test_names_must_match_as_a_whole():
    source = {'xold.a': torch.zeros(2), 'old.b': torch.zeros(3, 2)}
    with pytest.raises(ConversionError, match='unknown names .xold.a'):
        convert(source)


def test_two_tensors_for_one_place():
    source = {'old.a': torch.zeros(2), 'also.a': torch.zeros(2)}
    with pytest.raises(ConversionError, match='new.a twice.*old.a.*also.a'):
        convert(source)


def test_weights_that_are_not_finite_are_refused():
    source = {'old.a': torch.tensor([0, float('nan')]),
              'old.b': torch.zeros(3, 2)}
    with pytest.raises(ConversionError, match='not finite .old.a'):
        convert(source)


def test_many_faults_are_counted():
    source = {f'odd.{i}': torch.zeros(1) for i in range(30)}
    with pytest.raises(ConversionError, match=r'30 tensors .* and 18 more'):
        convert(source | {'old.a': torch.zeros(2),
                          'old.b': torch.zeros(3, 2)})


def test_report_sums_up_and_keeps_everything(tmp_path):
    records = [
        TensorRecord('mapped', f'E.layer1.{i}.w', f'layer1.{i}.w', (2, 3))
        for i in range(4)
    ] + [TensorRecord('unused', 'opt.0', None, (5, ), 'optimizer')]
    report = ConversionReport('x.tar', records, dict(temporal=True),
                              {'model.a': None}, ['one']).with_notes('two')
    assert [report.count(s) for s in ('mapped', 'unused', 'missing')] == [
        4, 1, 0]
    rows = report.groups()
    assert sum(row['tensors'] for row in rows) == 5
    assert {row['note'] for row in rows if row['status'] == 'unused'} == {
        'optimizer'}
    assert sum(row['values'] for row in rows
               if row['status'] == 'mapped') == 24
    path = tmp_path / 'new' / 'report.json'
    report.save(path)
    plain = json.loads(path.read_text())
    assert plain['counts'] == dict(mapped=4, unused=1, missing=0)
    assert plain['notes'] == ['one', 'two']
    assert plain['overrides'] == {'model.a': None}
    assert plain['tensors'][1] == dict(
        status='mapped', source='E.layer1.1.w', target='layer1.1.w',
        shape=[2, 3], note='')
    assert report.table().row_count == len(rows)
