# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
from helpers.toy_pictures import POINTS

from mmtvface.dataset_tools.clip_maker import ClipSignature, find_duplicates


def clip(name, landmarks, hashes):
    return ClipSignature(name, np.array(hashes, np.uint64),
                         lambda: landmarks)


def acted(seed, length=40, scale=100.):
    """Somebody who speaks: landmarks (t, 68, 2)."""
    rng = np.random.default_rng(seed)
    face = np.tile(np.asarray(POINTS) * scale, (length, 1, 1))
    talk = rng.normal(0, .1 * scale, (length, 1))
    face[:, 48:68, 1] += talk
    return face, rng.integers(0, 2**63, length).astype(np.uint64)


def test_a_part_of_another_clip_at_another_size_is_found():
    face, hashes = acted(0)
    noise = np.random.default_rng(9).normal(0, .1, (25, 68, 2))
    part = clip('part', 1.7 * face[10:35] + [30, -5] + noise,
                hashes[10:35] ^ np.uint64(0b1011))
    assert find_duplicates([clip('whole', face, hashes), part]) == {
        'part': 'whole'}
    # The order decides which one stays: the longer is no part of the other.
    assert find_duplicates([part, clip('whole', face, hashes)]) == {}


def test_alike_pictures_of_other_words_stay():
    face, hashes = acted(0)
    other, _ = acted(1)
    assert find_duplicates([clip('a', face, hashes),
                            clip('b', other, hashes)]) == {}


def test_equal_motion_of_other_pictures_stays():
    face, hashes = acted(0)
    assert find_duplicates([clip('a', face, hashes),
                            clip('b', face, ~hashes)]) == {}


def test_a_third_copy_is_one_of_the_first():
    face, hashes = acted(0)
    clips = [clip(name, face, hashes) for name in 'abc']
    assert find_duplicates(clips) == {'b': 'a', 'c': 'a'}
    assert find_duplicates([]) == {}
