# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How fast the parts of the package are, and how much memory they take."""
