# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A result as a page for the browser: :func:`.write_view.write_view`."""
