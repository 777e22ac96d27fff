"""The tables of the LS3D-Conv paper, reproduced: every row is trained with the same budget and several seeds.

``reproduce("table2", ...)`` trains what is not trained yet, measures it and compares it with the printed table.
``reproduce_blending`` does the same for Gradient-Blending (arXiv:1905.12681).
``search_architectures`` does the search of arXiv:1708.05038 on any videos.
"""

from ls3d.reproduce._reproduce import reproduce
from ls3d.reproduce.blending import BLENDING_TABLES, BlendingRow, BlendingTable, plot_blending, reproduce_blending
from ls3d.reproduce.report import AccuracyReproduction, AccuracyResult, Comparison, Reproduction, RowResult
from ls3d.reproduce.search import Architecture, Search, SearchResult, search_architectures
from ls3d.reproduce.tables import TABLE_8, TABLES, AccuracyRow, Column, Table, TableRow

__all__ = [
    "BLENDING_TABLES",
    "TABLES",
    "TABLE_8",
    "AccuracyReproduction",
    "AccuracyResult",
    "AccuracyRow",
    "Architecture",
    "BlendingRow",
    "BlendingTable",
    "Column",
    "Comparison",
    "Reproduction",
    "RowResult",
    "Search",
    "SearchResult",
    "Table",
    "TableRow",
    "plot_blending",
    "reproduce",
    "reproduce_blending",
    "search_architectures",
]
