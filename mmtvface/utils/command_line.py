# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How the commands end."""

import os
import sys
from collections.abc import Callable

#: Set to see where an error comes from.
TRACEBACK_ENV = 'MMTVFACE_TRACEBACK'


def run_command(work: Callable[[], int | None],
                interrupted: str = 'Interrupted.') -> int:
    """Run the work of a command and turn its outcome into an exit code.

    Args:
        work: Does everything, also the printing; returns the exit code, None
            for 0.
        interrupted: What Ctrl-C leaves, one sentence.

    Returns:
        What ``work`` returns; 2 if something is wrong with the user's files
        or options (one sentence on stderr, or the traceback if
        ``MMTVFACE_TRACEBACK`` is set); 130 after Ctrl-C.
    """
    try:
        return work() or 0
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get(TRACEBACK_ENV):
            raise
        sys.stderr.write(f'error: {" ".join(str(error).split())}\n')
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f'{interrupted}\n')
        return 130

