# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The NoW benchmark: neutral meshes against scans."""

from .benchmark import MethodErrors, Protocol, measure_method
from .files import find_predictions, prediction_of, read_image_list
from .landmark_files import read_scan_landmarks
from .report import error_chart, summarise, table_rows

__all__ = ['MethodErrors', 'Protocol', 'error_chart', 'find_predictions',
           'measure_method', 'prediction_of', 'read_image_list',
           'read_scan_landmarks', 'summarise', 'table_rows']
