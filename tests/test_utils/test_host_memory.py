# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import platform
import subprocess
import sys

import pytest

from mmtvface.utils import host_memory

# Blocks of 16 MB, then a small one on top of them, then the large ones go.
PROGRAM = '''
import ctypes, os, runpy, sys
# By its path: the package would import torch.
return_large_blocks = runpy.run_path(sys.argv[2])['return_large_blocks']
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
def used():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGESIZE') >> 20
libc.free(libc.malloc(30 << 20))  # from here on glibc keeps such blocks
if sys.argv[1] == 'yes':
    assert return_large_blocks() and return_large_blocks()
start = used()
blocks = []
for _ in range(8):
    block = libc.malloc(16 << 20)
    ctypes.memset(block, 1, 16 << 20)
    blocks.append(block)
    small = libc.malloc(100_000)
    ctypes.memset(small, 1, 100_000)
for block in blocks:
    libc.free(block)
print(used() - start)
'''


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='needs glibc')
def test_freed_blocks_leave_the_process():
    kept = {}
    for answer in ('yes', 'no'):
        done = subprocess.run(
            [sys.executable, '-c', PROGRAM, answer, host_memory.__file__],
            capture_output=True, text=True, check=True)
        kept[answer] = int(done.stdout)
    assert kept['yes'] < 8 and kept['no'] > 50


def test_left_alone_elsewhere(monkeypatch):
    function = host_memory.return_large_blocks.__wrapped__
    monkeypatch.setenv('MALLOC_MMAP_THRESHOLD_', '1000000')
    assert function() is False
    monkeypatch.delenv('MALLOC_MMAP_THRESHOLD_')
    monkeypatch.setattr(platform, 'libc_ver', lambda: ('', ''))
    assert function() is False
