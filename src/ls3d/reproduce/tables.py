"""Tables 2 to 7 of the LS3D-Conv paper: which rows are trained here, by which recipe, and how they are measured."""

from __future__ import annotations

from dataclasses import dataclass

from ls3d.errors import InputError
from ls3d.evaluation import Protocol, PublishedRow, get_protocol
from ls3d.evaluation.fidelity import published


@dataclass(frozen=True)
class Row:
    """A row that is trained here.

    Attributes:
        method: its name in ``Column.published``; a row that the paper does not print has a name of its own.
        recipe: below the folder of recipes, without the suffix.
    """

    method: str
    recipe: str


@dataclass(frozen=True)
class Column:
    """One test of a table: the paper prints PSNR and SSIM for it.

    Attributes:
        title: what the paper calls it.
        measure: a key of ``ls3d.evaluation.PROTOCOLS``.
        published: all rows that the paper prints, those that are trained here among them.
        rows: those that are trained here, from the worst to the best in the paper.
        split: whether the test set has no clip of the training set; otherwise held-out clips are measured, whatever
            test set is given.
    """

    title: str
    measure: str
    published: tuple[PublishedRow, ...]
    rows: tuple[Row, ...]
    split: bool = True

    @property
    def protocol(self) -> Protocol:
        """How the published test set is measured."""
        return get_protocol(self.measure)


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        name: the key in ``TABLES``.
        title: what it shows.
        columns: its tests.
    """

    name: str
    title: str
    columns: tuple[Column, ...]


_CONV, _OURS = "LS3D paper, 3D convolution", "LS3D paper"

_STAGES = Column(
    "MLB-YouTube",
    "mlb-youtube",
    published.LS3D_STAGES,
    (
        Row("baseline", "vfi/table2_baseline"),
        Row("res1,2", "vfi/table2_res12"),
        Row("res3,4", "vfi/table2_res34"),
        Row("res5,6", "vfi/table2_res56"),
    ),
)
_LAYERS = Column(
    "MLB-YouTube",
    "mlb-youtube",
    published.LS3D_LAYERS,
    (
        Row("baseline", "vfi/table3_baseline"),
        Row("2-LS3D-Conv", "vfi/table3_2_ls3d"),
        Row("4-LS3D-Conv", "vfi/table3_4_ls3d"),
        Row("6-LS3D-Conv", "vfi/table3_6_ls3d"),
    ),
)


def _denoising(sigma: int, rows: tuple[PublishedRow, ...]) -> Column:
    recipe = f"vdn/table7_{sigma}"
    ours = (Row(_CONV, f"{recipe}_conv3d"), Row(_OURS, recipe))
    return Column(f"Gaussian-{sigma}", f"vimeo-noise-{sigma}", rows, ours)


#: Every table by name.
TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table("table2", "LS3D-Conv in different stages", (_STAGES,)),
        Table("table3", "2, 4 and 6 LS3D-Conv layers", (_LAYERS,)),
        Table(
            "table4",
            "video interpolation",
            (
                Column("Cityscapes", "cityscapes", published.CITYSCAPES, (Row(_OURS, "vfi/table4_cityscapes"),)),
                Column(
                    "MLB-baseball",
                    "mlb-youtube",
                    published.MLB_YOUTUBE,
                    (Row("LS3D paper, 6 blocks", "vfi/table4_mlb"),),
                ),
                Column("Gait", "gait", published.GAIT, (Row(_OURS, "vfi/table4_gait"),), split=False),
            ),
        ),
        Table(
            "table5",
            "video super-resolution, 25 YUV benchmark",
            (
                Column(
                    "25 YUV",
                    "yuv25-bi-y",
                    published.YUV25,
                    (Row("3x1x1 convolution (not in the paper)", "vsr/table5_baseline"), Row(_OURS, "vsr/table5")),
                ),
            ),
        ),
        Table(
            "table6",
            "video super-resolution, Vimeo-90K",
            (
                Column(
                    "Vimeo-90K",
                    "vimeo90k-t-bi-rgb",
                    published.VIMEO90K_T_BI_RGB,
                    (Row(_CONV, "vsr/table6_conv3d"), Row(_OURS, "vsr/table6")),
                ),
            ),
        ),
        Table(
            "table7",
            "video denoising, Vimeo-90K",
            (_denoising(15, published.VIMEO_NOISE_15), _denoising(25, published.VIMEO_NOISE_25)),
        ),
    )
}


def get_table(name: str) -> Table:
    """Look a table up.

    Raises:
        InputError: there is none of this name.
    """
    if name not in TABLES:
        raise InputError(f"no table is called {name!r}; there are {', '.join(TABLES)}")
    return TABLES[name]
