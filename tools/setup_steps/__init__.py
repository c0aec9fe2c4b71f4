# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What tools/bootstrap.py is made of; standard library only."""
