"""The published test sets, each as a list of clips: one function per set that knows how its archive lies.

``DATA_SETS`` has them by name, with where to get them; ``open_data_set`` opens one and says in a sentence
what is missing when it isn't there.
"""

from ls3d.data.sets._registry import DATA_SETS, DataSet, open_data_set

from ls3d.data.sets import sequences, triplets, videos  # isort: skip (they fill the registry)

__all__ = ["DATA_SETS", "DataSet", "open_data_set", "sequences", "triplets", "videos"]
