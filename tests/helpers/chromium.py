# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A headless Chromium for tests of pages, driven through a pipe.

The DevTools protocol over file descriptors 3 and 4 (messages end with a zero
byte) needs no driver, no port and no package.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

CHROMIUM = next(filter(None, map(shutil.which, (
    'chromium', 'chromium-browser', 'google-chrome'))), None)
_FLAGS = (
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic',
    '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--use-angle=swiftshader',
    '--enable-unsafe-swiftshader', '--remote-debugging-pipe')
_PATIENCE = 30.  # seconds


class Chromium:
    """One page in a browser of its own; use as a context manager.

    Args:
        profile: Folder for what the browser writes.
        address: Of the page.
        size: Width and height of the window in pixels.
        flags: Further ones of the command line.

    Attributes:
        requests: Addresses that the page asked for.
        errors: Exceptions that nothing in the page has caught.
    """

    def __init__(self, profile: Path, address: str,
                 size: tuple[int, int] = (760, 680),
                 flags: tuple[str, ...] = ()) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._number, self._session, self._rest = 0, None, b''
        theirs, self._write = _pipe(0)
        self._read, answers = _pipe(1)
        self._process = subprocess.Popen(
            ['bash', '-c', f'exec "$0" "$@" 3<&{theirs} 4>&{answers}',
             CHROMIUM, *_FLAGS, f'--window-size={size[0]},{size[1]}', *flags,
             f'--user-data-dir={profile}', 'about:blank'],
            pass_fds=(theirs, answers), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(theirs)
        os.close(answers)
        target = next(t for t in self.call('Target.getTargets')['targetInfos']
                      if t['type'] == 'page')
        self._session = self.call(
            'Target.attachToTarget', targetId=target['targetId'],
            flatten=True)['sessionId']
        for domain in ('Network', 'Page', 'Runtime'):
            self.call(f'{domain}.enable')
        self.call('Page.navigate', url=address)
        self.wait('document.readyState === "complete"')

    def __enter__(self) -> 'Chromium':
        return self

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message = dict(id=self._number, method=method, params=params)
        if self._session:
            message['sessionId'] = self._session
        os.write(self._write, json.dumps(message).encode() + b'\0')
        while (answer := self._next()).get('id') != self._number:
            event = answer.get('params', {})
            if answer.get('method') == 'Network.requestWillBeSent':
                self.requests.append(event['request']['url'])
            elif answer.get('method') == 'Runtime.exceptionThrown':
                self.errors.append(json.dumps(event['exceptionDetails']))
        if 'error' in answer:
            raise RuntimeError(f'{method}: {answer["error"]}')
        return answer['result']

    def _next(self) -> dict[str, Any]:
        """The next message of the browser.

        Raises:
            RuntimeError: If it has ended.
            TimeoutError: If it says nothing for half a minute.
        """
        while b'\0' not in self._rest:
            if not select.select([self._read], [], [], _PATIENCE)[0]:
                raise TimeoutError('Chromium does not answer.')
            if not (data := os.read(self._read, 1 << 16)):
                raise RuntimeError('Chromium has ended.')
            self._rest += data
        message, _, self._rest = self._rest.partition(b'\0')
        return json.loads(message)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, fit for JSON."""
        found = self.call('Runtime.evaluate', expression=script,
                          returnByValue=True)
        if 'exceptionDetails' in found:
            raise RuntimeError(f'{script}: {found["exceptionDetails"]}')
        return found['result'].get('value')

    def wait(self, condition: str) -> None:
        """Wait until an expression is true.

        Raises:
            TimeoutError: After half a minute.
        """
        end = time.monotonic() + _PATIENCE
        while not self.evaluate(condition):
            if time.monotonic() > end:
                raise TimeoutError(f'{condition}; {self.errors}')
            time.sleep(.02)

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of an element in pixels."""
        return tuple(self.evaluate(
            f'(({{x, y, width, height}}) => [x, y, width, height])('
            f'document.querySelector({json.dumps(selector)})'
            '.getBoundingClientRect())'))

    def drag(self, selector: str, *places: tuple[float, float]) -> None:
        """Press the mouse, move it and let it go.

        Args:
            selector: Of an element.
            places: Where, in fractions of its width and height; one is a
                click.
        """
        left, top, width, height = self.box(selector)
        points = [dict(x=left + width * x, y=top + height * y, button='left',
                       clickCount=1) for x, y in places]
        self._mouse('mousePressed', points[0])
        for point in points[1:]:
            self._mouse('mouseMoved', dict(point, buttons=1))
        self._mouse('mouseReleased', points[-1])

    def _mouse(self, kind: str, point: dict[str, Any]) -> None:
        self.call('Input.dispatchMouseEvent', type=kind, **point)

    def press(self, key: str) -> None:
        """Press a key by its name in JavaScript."""
        for kind in ('keyDown', 'keyUp'):
            self.call('Input.dispatchKeyEvent', type=kind, key=key)

    def screenshot(self, selector: str = 'body') -> np.ndarray:
        """(H, W, 3) uint8 RGB of an element."""
        left, top, width, height = self.box(selector)
        png = self.call('Page.captureScreenshot', clip=dict(
            x=left, y=top, width=width, height=height, scale=1))['data']
        image = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8),
                             cv2.IMREAD_COLOR)
        return image[..., ::-1]


def _pipe(kept: int) -> tuple[int, int]:
    """Reading and writing end; the browser's one is none of 0 to 9."""
    ends = list(os.pipe())
    low = ends[kept]
    ends[kept] = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(low)
    return ends[0], ends[1]
