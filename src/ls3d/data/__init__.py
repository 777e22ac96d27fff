"""Clips to train on and to measure on, and how good clips are made bad on purpose.

``clips`` cuts random windows for training, ``sets`` knows the published test sets, ``footage`` decodes
their clips, ``degradations`` makes them small or noisy.
"""

from ls3d.data.degradations import DEGRADATIONS, Degradation, degradation
from ls3d.data.footage import Footage
from ls3d.data.sets import DATA_SETS, DataSet, open_data_set

__all__ = [
    "DATA_SETS",
    "DEGRADATIONS",
    "DataSet",
    "Degradation",
    "Footage",
    "degradation",
    "open_data_set",
]
