"""The published test sets: for each, one function that reads the folder layout of the official archive.

``DATA_SETS`` has them by name.
"""

from ls3d.data.sets.registry import DATA_SETS, DataSet, get_data_set

from ls3d.data.sets import sequences, triplets, videos  # isort: skip (importing these registers their data sets)

__all__ = ["DATA_SETS", "DataSet", "get_data_set", "sequences", "triplets", "videos"]
