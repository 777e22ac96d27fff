"""The tables of the LS3D-Conv paper, trained again: every row with the same budget and several seeds.

``reproduce("table2", ...)`` trains what is not trained yet, measures it and puts it beside what the paper printed.
"""

from ls3d.reproduce._reproduce import reproduce
from ls3d.reproduce.report import Reproduction, Result
from ls3d.reproduce.tables import TABLES, Row, Table

__all__ = ["TABLES", "Reproduction", "Result", "Row", "Table", "reproduce"]
