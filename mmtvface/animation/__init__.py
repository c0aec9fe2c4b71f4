# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Animate reconstructed heads: expression transfer and teasers.

Codes over time (:mod:`.tracks`) become heads (:mod:`.subject`) and pictures
(:mod:`.pictures`) of a video (:mod:`.transfer`, :mod:`.teaser`).
"""
