"""Clips for training and evaluation.

``clips`` reads frames, ``sets`` has the published test sets and ``training_sets`` the training lists, ``cache`` keeps
decoded clips on disk, ``windows`` cuts training samples from them, and ``degradations`` makes frames small or noisy.
"""

from ls3d.data.clips import Clip
from ls3d.data.degradations import DEGRADATIONS, Degradation, get_degradation
from ls3d.data.sets import DATA_SETS, DataSet, get_data_set

__all__ = ["DATA_SETS", "DEGRADATIONS", "Clip", "DataSet", "Degradation", "get_data_set", "get_degradation"]
