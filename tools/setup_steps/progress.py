# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Runs an installer quietly, with its log kept and its progress shown."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HEARTBEAT = 30.0  # seconds between lines where no terminal redraws them
STATUS = re.compile(
    r'\[(?P<done>\d+)/(?P<total>\d+)\] (?=\S)|'
    r'^(?P<verb>Collecting|Downloading|Installing collected packages'
    r'|Building wheel)[ :]*(?P<what>[^\s,;]*)', re.MULTILINE)


def say(text: str) -> None:
    """Write one line to the terminal."""
    sys.stdout.write(text + '\n')
    sys.stdout.flush()


class Steps:
    """Announces steps, and says how long each took.

    Args:
        total: How many there are.
    """

    def __init__(self, total: int) -> None:
        self.total, self.number = total, 0

    def __call__(self, title: str, work: Callable, *arguments):
        """Do the work of the next step and return its result."""
        self.number += 1
        say(f'[{self.number}/{self.total}] {title}')
        begin = time.monotonic()
        result = work(*arguments)
        say(f'      done in {time.monotonic() - begin:.1f} s')
        return result


def status_of(output: str) -> str:
    """Last thing an installer reported, in a few words."""
    found = list(STATUS.finditer(output))
    if not found:
        return ''
    last = found[-1]
    if last.group('done'):
        return f'compiled {last.group("done")} of {last.group("total")} files'
    verb = last.group('verb').lower()
    if verb.startswith('installing'):
        return 'installing'
    return f'{verb} {os.path.basename(last.group("what"))}'.strip()


def _tail(log: Path, start: int, limit: int = 8192) -> str:
    with open(log, 'rb') as stream:
        stream.seek(max(start, log.stat().st_size - limit))
        return stream.read().decode('utf-8', 'replace')


def run_logged(command: list[str], log: Path, label: str,
               env: dict | None = None, keep_open: tuple = (),
               status: Callable[[str], str] = status_of
               ) -> tuple[int, str]:
    """Run a command with its output in a log and a live status line.

    Args:
        command: Program and arguments.
        log: File that the output is appended to.
        label: What the status line begins with.
        env: Environment of the program, default: this one's.
        keep_open: File descriptors that the program inherits. The set-up
            lock is one: it stays taken while an orphaned installer runs.
        status: Turns the newest output into a few words.

    Returns:
        Exit status, and the output of this command alone.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    tty = sys.stdout.isatty()
    with open(log, 'ab') as stream:
        stream.write(('\n$ ' + ' '.join(command) + '\n').encode())
        stream.flush()
        start = stream.tell()
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, env=env,
            stdin=subprocess.DEVNULL, pass_fds=keep_open,
            start_new_session=True)
        beat = begin
        try:
            while process.poll() is None:
                time.sleep(0.1)
                now = time.monotonic()
                if now - beat < (1.0 if tty else HEARTBEAT):
                    continue
                beat = now
                line = (f'{label} ... {now - begin:.0f} s '
                        f'{status(_tail(log, start))}')
                if tty:
                    sys.stdout.write('\r\033[K' + line[:100])
                    sys.stdout.flush()
                else:
                    say(line)
        finally:
            if process.poll() is None:
                # The whole group: pip, ninja and the compilers.
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
            if tty:
                sys.stdout.write('\r\033[K')
    return process.returncode, _tail(log, start, limit=1 << 24)
