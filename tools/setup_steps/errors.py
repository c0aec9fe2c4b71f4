# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Set-up failures as one sentence with its remedy."""

from __future__ import annotations

import re

NETWORK = re.compile(
    r'NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|'
    r'Temporary failure in name resolution|Network is unreachable|'
    r'Connection (?:refused|reset)|ProxyError|SSLError|'
    r'No route to host|Max retries exceeded', re.IGNORECASE)
# With a constraint in its configuration pip speaks of a conflict.
NO_MATCH = re.compile(r'No matching distribution found for (\S+)|'
                      r'Cannot install (?:.* )?(\S+) because')
NO_VERSION = 'from versions: none'
LAST_ERROR = re.compile(r'^(?:ERROR|error|.*Error): .*|^.*\berror: .*', re.M)


class SetupError(Exception):
    """A reason to stop, phrased for the user, with what mends it."""


class NoMatchError(SetupError):
    """The package index was reached but has no such release."""


def explain(step: str, output: str, log: str) -> SetupError:
    """Turn the output of a failed installer into one sentence.

    Args:
        step: What was being installed.
        output: What pip (and the compiler) wrote during this step.
        log: Path of the full log.

    Returns:
        The error to raise.
    """
    where = f' (full log: {log})'
    if 'No space left on device' in output:
        return SetupError(
            f'The disk is full while installing {step}: free some space and '
            f'run the same command again; it continues here{where}.')
    if NETWORK.search(output):
        return SetupError(
            f'pip cannot reach its package index while installing {step}: '
            'check the network, or the proxy and index in "pip config '
            'list", and run the same command again; it continues '
            f'here{where}.')
    match = NO_MATCH.search(output)
    if match:
        # Without retries pip says no more than this when it is offline.
        network = 'check the network, or ' if NO_VERSION in output else ''
        return NoMatchError(
            f'Installing {step} failed: the package index in your pip '
            f'configuration has no {match.group(1) or match.group(2)} for '
            f'this Python and platform: {network}add an index that has it '
            '(see "pip config list"), or use the table in docs/versions.md '
            f'with an environment of your own{where}.')
    if re.search(r'Permission denied', output):
        return SetupError(
            f'A folder is not writable while installing {step}: make the '
            f'checkout and the cache folder writable{where}.')
    if re.search(r'internal compiler error|Killed signal|cc1plus.*killed',
                 output, re.IGNORECASE):
        return SetupError(
            f'The compiler ran out of memory while building {step}: run '
            'again with fewer jobs, "MAX_JOBS=1 bash '
            f'tools/quickstart.sh"{where}.')
    lines = [m.strip() for m in LAST_ERROR.findall(output)]
    last = lines[-1][:200] if lines else 'no error line was found'
    return SetupError(
        f'Installing {step} failed ({last}): read {log}, mend the cause and '
        'run the same command again; it continues here.')
