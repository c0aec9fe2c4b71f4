# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The command line: ``mmtvface COMMAND``; imports nothing heavy."""
