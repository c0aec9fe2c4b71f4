# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What a training step must not ask of a GPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# What empties the queue of a GPU: a value or a data-dependent size.
QUESTIONS = {'_local_scalar_dense', 'item', 'equal', 'nonzero',
             'masked_select', '_unique2', 'unique_consecutive', 'unique_dim',
             'is_nonzero', 'repeat_interleave', 'bincount'}


class NoQuestions(TorchDispatchMode):
    """Fails at operations that wait for a GPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in QUESTIONS, f'{func} waits for the device'
        if name in ('index', 'index_put', 'index_put_'):
            assert all(i is None or i.dtype == torch.long for i in args[1]
                       ), f'{func} by a mask waits for the device'
        assert name != 'lift_fresh', 'a tensor is made of Python numbers'
        out = func(*args, **(kwargs or {}))
        if name in ('_to_copy', 'copy_'):
            devices = {x.device.type for x in (*args[:2], out)
                       if isinstance(x, torch.Tensor)}
            free = (kwargs or {}).get('non_blocking') or args[2:3] == (True, )
            assert len(devices) == 1 or free, f'{func} between {devices}'
        return out
