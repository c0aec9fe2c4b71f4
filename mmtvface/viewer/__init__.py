# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A result as a page for the browser."""

from .write_view import write_view

__all__ = ['write_view']
