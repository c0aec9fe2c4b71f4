# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Names of published checkpoints; the tensors hold one number each."""
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from published_networks import decoder_shapes, encoder_shapes

from mmtvface.converters import ConversionError
from mmtvface.converters.deca import (
    convert_deca,
    deca_notes,
    deca_overrides,
    inspect_deca,
)


def numbered(shapes, start=0):
    return {name: torch.tensor([float(start + i)])
            for i, name in enumerate(shapes)}


def published(temporal=False, aligned=True, parts=3, same_flow=True):
    content = dict(E_flame=numbered(encoder_shapes(236, temporal, aligned)))
    if parts > 1:
        content['E_detail'] = numbered(
            encoder_shapes(128, temporal, aligned), 5000)
        content['D_detail'] = numbered(decoder_shapes(), 9000)
    if parts > 1 and temporal and same_flow:
        content['E_detail'].update(
            {k: v for k, v in content['E_flame'].items() if '.spynet.' in k})
    return content


def converted_names(content, shared=False):
    """What a model holds, written down without the converter's rules."""
    expected = {}
    for part, prefix in (('E_flame', ''), ('E_detail', 'detail.')):
        temporal = any('.rnn.' in key for key in content['E_flame'])
        for key, value in content.get(part, {}).items():
            if temporal and key == 'encoder.conv1.weight':
                continue
            if shared and prefix and '.spynet.' in key:
                continue
            name = f'regressor.{key}' if key.startswith('layers') else key
            expected[prefix + name] = value
    for key, value in content.get('D_detail', {}).items():
        expected[f'detail.decoder.{key}'] = value
    return expected


def blank(expected):
    return {key: torch.zeros_like(value) for key, value in expected.items()}


def model_config(encoder='TemporalResNet', detail=None, **options):
    detail = detail if detail is not None else dict(
        encoder=dict(type=encoder, with_flow='given'),
        decoder=dict(max_displacement=.001))
    return ConfigDict(
        encoder=dict(type=encoder, **options),
        regressor=dict(type='FLAMEHead'),
        head=dict(type='flame', root='data/flame'),
        texture=dict(clamp=False), detail=detail)


def test_single_frame():
    content = published()
    content.update(opt={'state': {0: {'step': torch.tensor(1.)}}},
                   global_step=77, batch_size=16)
    expected = converted_names(content)
    state, report = convert_deca(content, blank(expected), 'deca_model.tar')
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in state)
    assert report.count('mapped') == len(expected)
    assert report.count('missing') == 0
    assert [r.source for r in report.records if r.status == 'unused'] == [
        'opt.state.0.step']
    facts = inspect_deca(content)
    assert not facts.temporal and facts.has_detail_decoder
    assert (facts.global_step, facts.batch_size) == (77, 16)
    assert report.facts == facts._asdict()


@pytest.mark.parametrize('aligned', [True, False])
def test_temporal_with_one_flow_for_both(aligned):
    content = published(temporal=True, aligned=aligned)
    expected = converted_names(content, shared=True)
    if not aligned:
        expected = {k: v for k, v in expected.items() if 'spynet' not in k}
    state, report = convert_deca(content, blank(expected))
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in state)
    unused = {r.source: r.note for r in report.records
              if r.status == 'unused'}
    assert 'never run' in unused.pop('E_flame.encoder.conv1.weight')
    assert 'never run' in unused.pop('E_detail.encoder.conv1.weight')
    notes = set(unused.values())
    assert all('.spynet.' in name for name in unused) and len(notes) == 1
    assert len(unused) == (62 if aligned else 124)
    facts = inspect_deca(content)
    assert facts.temporal and facts.shared_flow
    assert facts.aligned is facts.detail_aligned is aligned
    changes = {} if aligned else {
        'model.encoder.with_alignment': False,
        'model.detail.encoder.with_alignment': False}
    assert deca_overrides(facts, model_config()) == changes
    # SPyNet is in the weights, or nowhere.
    changes['model.encoder.spynet_pretrained'] = None
    assert deca_overrides(
        facts, model_config(spynet_pretrained='spynet.pth')) == changes


def test_temporal_with_two_flows_keeps_both():
    content = published(temporal=True, same_flow=False)
    facts = inspect_deca(content)
    assert not facts.shared_flow
    assert deca_overrides(facts, model_config()) == {
        'model.detail.encoder.with_flow': True}
    expected = converted_names(content)
    state, report = convert_deca(content, blank(expected))
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert 'different SPyNets' in ' '.join(deca_notes(facts, model_config()))
    # A model that shares the flow would get the wrong one.
    given = converted_names(content, shared=True)
    with pytest.raises(ConversionError, match='E_detail.encoder.spynet'):
        convert_deca(content, blank(given))


def test_one_flow_in_a_model_with_two():
    content = published(temporal=True)
    facts = inspect_deca(content)
    config = model_config(detail=dict(encoder=dict(type='TemporalResNet')))
    assert deca_overrides(facts, config) == {}
    expected = converted_names(content)
    state, _ = convert_deca(content, blank(expected))
    assert state.keys() == expected.keys()


def test_flow_that_a_config_left_out_is_asked_for():
    facts = inspect_deca(published(temporal=True))
    config = model_config(
        with_flow=False,
        detail=dict(encoder=dict(type='TemporalResNet', with_flow=False)))
    assert deca_overrides(facts, config) == {
        'model.encoder.with_flow': True,
        'model.detail.encoder.with_flow': 'given'}


def test_coarse_checkpoints():
    content = published(parts=1)
    coarse = converted_names(content)
    state, _ = convert_deca(content, blank(coarse))
    assert state.keys() == coarse.keys()
    # For a model with a detail branch the rest is missing, but said so.
    whole = converted_names(published())
    state, report = convert_deca(content, blank(whole))
    assert state.keys() == coarse.keys()
    missing = {r.target for r in report.records if r.status == 'missing'}
    assert missing == whole.keys() - coarse.keys()
    note = ' '.join(deca_notes(inspect_deca(content), model_config()))
    assert 'no E_detail and no D_detail' in note


def test_detail_networks_for_a_coarse_model():
    content = published()
    coarse = converted_names(dict(E_flame=content['E_flame']))
    state, report = convert_deca(content, blank(coarse))
    assert state.keys() == coarse.keys()
    assert {r.note for r in report.records if r.status == 'unused'} == {
        'the config has no detail branch'}


def test_data_parallel_names():
    content = published()
    expected = converted_names(content)
    wrapped = {part: {f'module.{key}': value for key, value in state.items()}
               for part, state in content.items()}
    state, _ = convert_deca(wrapped, blank(expected))
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    wrapped = published(temporal=True, same_flow=False)
    wrapped['E_flame'] = {f'module.{k}': v
                          for k, v in wrapped['E_flame'].items()}
    assert inspect_deca(wrapped).temporal


@pytest.mark.parametrize('part, key', [
    ('E_flame', 'encoder.fc.weight'), ('E_detail', 'layers.3.weight'),
    ('D_detail', 'conv_blocks.99.weight'), ('E_flame', 'other')])
def test_unknown_names_are_an_error(part, key):
    content = published()
    expected = converted_names(content)
    content.setdefault(part, {})[key] = torch.zeros(1)
    with pytest.raises(ConversionError, match=rf'1 tensors .*{part}\.{key}'):
        convert_deca(content, blank(expected), 'x.tar')


@pytest.mark.parametrize('part, key', [
    ('E_flame', 'layers.0.bias'), ('E_detail', 'encoder.bn1.weight'),
    ('D_detail', 'l1.0.weight')])
def test_missing_and_misshaped_tensors_are_errors(part, key):
    content = published()
    expected = converted_names(content)
    value = content[part].pop(key)
    name = {'E_flame': '', 'E_detail': 'detail.',
            'D_detail': 'detail.decoder.'}[part]
    name += f'regressor.{key}' if key.startswith('layers') else key
    with pytest.raises(ConversionError, match=f'missing in it .{name}'):
        convert_deca(content, blank(expected))
    content[part][key] = value.repeat(2)
    with pytest.raises(ConversionError,
                       match=rf'{part}.{key} is \(2,\) instead of \(1,\)'):
        convert_deca(content, blank(expected))


def test_kinds_must_agree():
    facts = inspect_deca(published())
    with pytest.raises(ValueError, match='single frames.*TemporalResNet.*'
                       'configs/deca/'):
        deca_overrides(facts, model_config())
    facts = inspect_deca(published(temporal=True))
    with pytest.raises(ValueError, match='clips.*configs/temporal_deca/'):
        deca_overrides(facts, model_config('ResNetEncoder'))
    with pytest.raises(ValueError, match='SharedTrunkEncoder'):
        deca_overrides(facts, model_config(detail=dict(
            encoder=dict(type='SharedTrunkEncoder'))))


@pytest.mark.parametrize('content, found', [
    ({'state_dict': {}}, 'state_dict'), ([1], 'a list'),
    ({'E_flame': {}}, 'E_flame')])
def test_other_checkpoints(content, found):
    with pytest.raises(ValueError, match=f'x.tar is no checkpoint.*{found}'):
        inspect_deca(content, 'x.tar')
    with pytest.raises(ValueError, match='D_detail must map'):
        inspect_deca(published(parts=1) | {'D_detail': {'a': 3}})


@pytest.mark.parametrize('more', [
    {'E_extra': {'w': np.ones(3)}}, {'a': 1.}, {'extra': {}},
    {'extra': {'a': torch.zeros(1)}}, {7: torch.zeros(1)}])
def test_further_entries_are_an_error(more):
    content = published()
    expected = blank(converted_names(content))
    with pytest.raises(ValueError, match=f"x.tar holds .*'{[*more][0]}'"):
        convert_deca(content | more, expected, 'x.tar')


@pytest.mark.parametrize('value', [0, 1., np.ones(2), torch.ones(2)])
def test_a_network_must_be_a_dict(value):
    with pytest.raises(ValueError, match='E_detail must map'):
        inspect_deca(published() | {'E_detail': value})


def test_arrays_of_the_optimizer_are_accounted_for():
    content = published() | dict(opt=dict(state={0: dict(
        step=np.ones(1), exp_avg=torch.ones(1), lr=1e-4)}))
    _, report = convert_deca(content, blank(converted_names(content)))
    assert [r.source for r in report.records if r.status == 'unused'] == [
        'opt.state.0.step', 'opt.state.0.exp_avg']


def test_notes_on_what_changes_results():
    facts = inspect_deca(published(temporal=True))
    config = model_config(input_norm='imagenet')
    config.regressor.shape_mode = 'clip'
    config.detail.decoder.max_displacement = .01
    config.texture.clamp = True
    config.head.type = 'procedural'
    text = ' '.join(deca_notes(facts, config))
    for part in ('config has 0.01 m, the published system 0.001 m',
                 'shape_mode', 'model.encoder.input_norm', 'clamp=False',
                 'built-in head'):
        assert part in text
    assert deca_notes(facts, model_config()) == [
        'The file does not tell max_displacement; the config has 0.001 m.']
