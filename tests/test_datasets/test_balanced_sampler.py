# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pickle
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from helpers.fake_datasets import clip_pipeline, write_clip_set
from mmengine.dataset import BaseDataset, pseudo_collate
from torch.utils.data import DataLoader

from mmtvface.datasets import (
    BalancedClipSampler,
    ConcatDataset,
    FaceClipDataset,
)
from mmtvface.datasets.balanced_sampler import _visit
from mmtvface.datasets.randomness import ClipRandomness, DrawnIndex
from mmtvface.registry import DATA_SAMPLERS, DATASETS


class Toy(BaseDataset):
    """Items with a person and a clip, without files.

    Args:
        people: For each person, the number of windows of each clip.
    """

    def __init__(self, people=(), name='toy', grouped=True):
        self.rows = [(person, clip, window)
                     for person, clips in enumerate(people)
                     for clip, windows in enumerate(clips)
                     for window in range(windows)]
        self.name = name
        if grouped:
            self.sampling_groups = self._groups
        super().__init__(serialize_data=False,
                         metainfo=dict(dataset_type=name))

    def load_data_list(self):
        return [dict(row=row) for row in self.rows]

    def _groups(self):
        clips = [10 * person + clip for person, clip, _ in self.rows]
        return np.array(self.rows)[:, 0], np.array(clips)

    def prepare_data(self, idx):
        return self.name, idx, getattr(idx, 'draw', None)


def take(sampler, count):
    return list(islice(iter(sampler), count))


def test_visits_by_hand():
    # 7 members: steps of round(7 * .618) = 4, coprime to 7
    rounds, first = _visit(0, 7, [5])
    assert rounds == 0
    assert [_visit(n, 7, [5]) for n in range(7)] == [
        (0, (first + 4 * n) % 7) for n in range(7)]
    assert _visit(7, 7, [5])[0] == 1 and _visit(9, 1, [5]) == (9, 0)
    for size in range(2, 40):  # every member once in a round
        assert {_visit(n, size, [1])[1] for n in range(size)} == set(
            range(size))


def test_everybody_and_every_clip_alike():
    data = Toy([[40], [1, 1], [2, 4]])
    sampler = BalancedClipSampler(data, seed=3)
    drawn = [data.rows[i] for i in take(sampler, 120)]
    # Every three draws show all three people.
    assert all({row[0] for row in drawn[i:i + 3]} == {0, 1, 2}
               for i in range(0, 120, 3))
    clips = Counter(row[:2] for row in drawn)
    assert clips == {(0, 0): 40, (1, 0): 20, (1, 1): 20, (2, 0): 20,
                     (2, 1): 20}
    windows = Counter(drawn)
    assert all(windows[0, 0, w] == 1 for w in range(40))
    assert all(windows[2, 0, w] == 10 for w in range(2))
    assert all(windows[2, 1, w] == 5 for w in range(4))
    by_clip = BalancedClipSampler(data, seed=3, balance='clip')
    assert set(Counter(data.rows[i][:2] for i in take(by_clip, 50)).values()
               ) == {10}
    by_window = BalancedClipSampler(data, seed=3, balance='window')
    assert sorted(take(by_window, 48)) == list(range(48))


def test_seeds():
    data = Toy([[9], [9], [9, 9]])
    first = take(BalancedClipSampler(data, seed=1), 60)
    assert first == take(BalancedClipSampler(data, seed=1), 60)
    assert first != take(BalancedClipSampler(data, seed=2), 60)


def ranks(monkeypatch, world, make):
    samplers = []
    for rank in range(world):
        monkeypatch.setattr(
            'mmtvface.datasets.balanced_sampler.get_dist_info',
            lambda rank=rank: (rank, world))
        samplers.append(make())
    return samplers


def test_ranks_share_one_sequence(monkeypatch):
    data = Toy([[5]] * 8)
    whole = take(BalancedClipSampler(data, seed=1), 40)
    first, second = ranks(monkeypatch, 2,
                          lambda: BalancedClipSampler(data, seed=1))
    one, two = take(first, 20), take(second, 20)
    assert one == whole[::2] and two == whole[1::2]
    assert [index.draw for index in two] == list(range(1, 40, 2))
    # 40 items, once each: no index comes to both
    assert not set(one) & set(two) and len({*one, *two}) == 40


@pytest.mark.parametrize('world', [1, 3])
def test_resuming_goes_on_with_the_sequence(monkeypatch, world):
    data = ConcatDataset([Toy([[9], [3, 4]]), Toy([[2]] * 5, 'other')],
                         weights=[1, 3])
    monkeypatch.setattr('mmtvface.datasets.balanced_sampler._BLOCK', 16)
    for sampler in ranks(monkeypatch, world,
                         lambda: BalancedClipSampler(data, seed=5)):
        whole = take(sampler, 100)
        assert take(sampler, 100) == whole
        for position in (0, 1, 16, 33, 70):
            sampler.set_position(position)
            rest = take(sampler, 100 - position)
            assert rest == whole[position:]
            assert [i.draw for i in rest] == [i.draw
                                              for i in whole[position:]]


def test_epochs():
    data = Toy([[2], [3]])
    sampler = DATA_SAMPLERS.build(
        dict(type='BalancedClipSampler', seed=0, epoch_length=7),
        default_args=dict(dataset=data))
    endless = BalancedClipSampler(data, seed=0)
    assert len(sampler) == 7 and len(endless) == 5
    assert endless.endless and not sampler.endless
    whole = take(endless, 21)
    endless.set_epoch(4)
    assert take(endless, 21) == whole
    assert list(sampler) == whole[:7]
    sampler.set_epoch(2)
    assert list(sampler) == whole[14:]


def test_weights():
    big, small = Toy([[50]] * 4, 'big'), Toy([[1], [1]], 'small')
    data = DATASETS.build(dict(type='ConcatDataset', datasets=[big, small],
                               weights=[1, 3]))
    assert data.shares().tolist() == [.25, .75]
    drawn = take(BalancedClipSampler(data, seed=0), 2000)
    names = Counter(data[i][0] for i in drawn)
    # 4 standard deviations of a binomial: 2000 * .75 +- 77
    assert abs(names['small'] - 1500) < 77
    assert Counter(data[i][1] for i in drawn if i >= 200).keys() == {0, 1}
    # Without weights every item is as likely as in one data set.
    assert ConcatDataset([big, small]).shares().tolist() == [
        200 / 202, 2 / 202]


def test_number_of_the_draw_reaches_the_inner_data_set():
    data = ConcatDataset([Toy([[3]]), Toy([[4]], 'other')])
    assert data[DrawnIndex(5, 77)] == ('other', 2, 77)
    assert data[5] == ('other', 2, None)
    index = pickle.loads(pickle.dumps(DrawnIndex(5, 77)))
    assert (index, index.draw) == (5, 77)


def test_data_without_groups():
    data = Toy([[3, 3]], grouped=False)
    assert sorted(take(BalancedClipSampler(data, seed=0), 6)) == list(
        range(6))


def test_errors():
    data = Toy([[3]])
    with pytest.raises(ValueError, match="'person'"):
        BalancedClipSampler(data, balance='person')
    with pytest.raises(ValueError, match='epoch_length'):
        BalancedClipSampler(data, epoch_length=0)
    with pytest.raises(ValueError, match='empty'):
        BalancedClipSampler([])
    for weights in ([1], [1, 0], [1, -1], [1, float('nan')]):
        with pytest.raises(ValueError, match='each of the 2'):
            ConcatDataset([data, data], weights=weights)
    with pytest.raises(ValueError, match='at least one'):
        ConcatDataset([])


def test_draws_decide_the_random_numbers():
    randomness = ClipRandomness(4)
    first = randomness.generator(DrawnIndex(3, 8)).random()
    randomness.set_epoch(2)
    assert randomness.generator(DrawnIndex(3, 8)).random() == first
    assert randomness.generator(DrawnIndex(3, 9)).random() != first
    assert ClipRandomness(5).generator(DrawnIndex(3, 8)).random() != first


def test_augmented_batches_do_not_depend_on_workers(tmp_path):
    root = write_clip_set(tmp_path / 'set', {'train': [
        ('a', 'ann', 6), ('b', 'ann', 4), ('c', 'cy', 5)]})

    def images(workers, position, count):
        data = FaceClipDataset(
            str(root), split='train', clip_length=2, image_size=16,
            reverse_prob=.5, jitter_time=1, pipeline=clip_pipeline(
                dict(type='MirrorClip'), dict(type='ClipColorJitter'),
                trans_scale=.1))
        sampler = BalancedClipSampler(data, seed=1)
        sampler.set_position(position)
        loader = DataLoader(data, 2, sampler=sampler, num_workers=workers,
                            collate_fn=pseudo_collate)
        return [(image, sample) for batch in islice(iter(loader), count)
                for image, sample in zip(batch['inputs'],
                                         batch['data_samples'], strict=True)]

    whole = images(0, 0, 6)
    assert {s.identity for _, s in whole[:2]} == {'ann', 'cy'}
    for got in (images(2, 0, 6), images(2, 6, 3)):
        for (a, one), (b, two) in zip(whole[-len(got):], got, strict=True):
            assert torch.equal(a, b)
            assert torch.equal(one.gt_landmarks, two.gt_landmarks)


def test_groups_of_a_subset(tmp_path):
    root = write_clip_set(tmp_path / 'set', {'train': [
        ('a', 'ann', 3), ('b', 'bob', 3), ('c', 'ann', 2)]})
    kwargs = dict(split='train', clip_length=2, image_size=16)
    people, clips = FaceClipDataset(str(root), **kwargs).sampling_groups()
    assert people.tolist() == [0, 0, 1, 1, 0]
    assert clips.tolist() == [0, 0, 1, 1, 2]
    people, clips = FaceClipDataset(str(root), indices=[4, 2],
                                    **kwargs).sampling_groups()
    assert (people.tolist(), clips.tolist()) == ([0, 1], [2, 1])
