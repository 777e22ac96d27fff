"""Tables 2 to 8 of the LS3D-Conv paper: which rows are trained, with which recipe, and how they are measured."""

from __future__ import annotations

from dataclasses import dataclass

from ls3d.errors import InputError
from ls3d.evaluation import Protocol, PublishedRow, get_protocol
from ls3d.evaluation.fidelity import published
from ls3d.models import model_info

#: Top-1 and top-5 accuracy in percent, ``top1`` and ``top5``.
Accuracies = dict[str, float]


@dataclass(frozen=True)
class TableRow:
    """A row that is trained here.

    Attributes:
        method: its name in ``Column.published``, or another one if the paper does not print it.
        recipe: path of the recipe in the folder of recipes, without its suffix.
    """

    method: str
    recipe: str


@dataclass(frozen=True)
class Column:
    """One test of a table, for which the paper prints PSNR and SSIM.

    Attributes:
        title: as in the paper.
        protocol_name: a key of ``ls3d.evaluation.PROTOCOLS``.
        published: all rows that the paper prints.
        rows: those that are trained here, from the worst to the best in the paper.
        has_test_set: whether there is a published test set without training clips; if not, held-out clips are always
            measured.
    """

    title: str
    protocol_name: str
    published: tuple[PublishedRow, ...]
    rows: tuple[TableRow, ...]
    has_test_set: bool = True

    @property
    def protocol(self) -> Protocol:
        """How the published test set is measured."""
        return get_protocol(self.protocol_name)


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        name: its key in ``TABLES``.
        title: a short form of the caption.
        columns: its tests.
    """

    name: str
    title: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class AccuracyRow:
    """A row of table 8.

    Attributes:
        method: its name.
        recipe: path of the recipe in the folder of recipes, without its suffix.
        start: likewise, of the plain network from whose weights it starts.
        model: the registered network, which has the published accuracy.
        parameters: millions, as printed.
        gflops: as printed.
    """

    method: str
    recipe: str
    start: str
    model: str
    parameters: float
    gflops: float

    @property
    def published(self) -> Accuracies:
        """The printed accuracies in percent."""
        accuracy = model_info(self.model).accuracy
        assert accuracy is not None
        assert accuracy.top5 is not None
        return {"top1": accuracy.top1, "top5": accuracy.top5}


_CONV = "LS3D paper, 3D convolution"
_OURS = "LS3D paper"

_STAGES = Column(
    "MLB-YouTube",
    "mlb-youtube",
    published.LS3D_STAGES,
    (
        TableRow("baseline", "vfi/table2_baseline"),
        TableRow("res1,2", "vfi/table2_res12"),
        TableRow("res3,4", "vfi/table2_res34"),
        TableRow("res5,6", "vfi/table2_res56"),
    ),
)
_LAYERS = Column(
    "MLB-YouTube",
    "mlb-youtube",
    published.LS3D_LAYERS,
    (
        TableRow("baseline", "vfi/table3_baseline"),
        TableRow("2-LS3D-Conv", "vfi/table3_2_ls3d"),
        TableRow("4-LS3D-Conv", "vfi/table3_4_ls3d"),
        TableRow("6-LS3D-Conv", "vfi/table3_6_ls3d"),
    ),
)


def _denoising(sigma: int, rows: tuple[PublishedRow, ...]) -> Column:
    recipe = f"vdn/table7_{sigma}"
    ours = (TableRow(_CONV, f"{recipe}_conv3d"), TableRow(_OURS, recipe))
    return Column(f"Gaussian-{sigma}", f"vimeo-noise-{sigma}", rows, ours)


_I3D = "recognition/published/i3d/table8"

#: Table 8: accuracy on Kinetics-400.
TABLE_8 = (
    AccuracyRow("I3D", f"{_I3D}_i3d", f"{_I3D}_start", "i3d_r50", 28.04, 86.59),
    AccuracyRow("I3D+LS3D", f"{_I3D}_i3d_ls3d", f"{_I3D}_start", "i3d_r50_ls3d", 28.21, 87.13),
    AccuracyRow("I3D+NL", f"{_I3D}_i3d_nl", f"{_I3D}_start_nl", "i3d_r50_nl", 35.40, 100.10),
    AccuracyRow("I3D+NL+LS3D", f"{_I3D}_i3d_nl_ls3d", f"{_I3D}_start_nl", "i3d_r50_nl_ls3d", 35.57, 100.64),
)

#: Tables 2 to 7 by name.
TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table("table2", "LS3D-Conv in different stages", (_STAGES,)),
        Table("table3", "2, 4 and 6 LS3D-Conv layers", (_LAYERS,)),
        Table(
            "table4",
            "video interpolation",
            (
                Column("Cityscapes", "cityscapes", published.CITYSCAPES, (TableRow(_OURS, "vfi/table4_cityscapes"),)),
                Column(
                    "MLB-baseball",
                    "mlb-youtube",
                    published.MLB_YOUTUBE,
                    (TableRow("LS3D paper, 6 blocks", "vfi/table4_mlb"),),
                ),
                Column("Gait", "gait", published.GAIT, (TableRow(_OURS, "vfi/table4_gait"),), has_test_set=False),
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
                    (
                        TableRow("3x1x1 convolution (not in the paper)", "vsr/table5_baseline"),
                        TableRow(_OURS, "vsr/table5"),
                    ),
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
                    (TableRow(_CONV, "vsr/table6_conv3d"), TableRow(_OURS, "vsr/table6")),
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
    """The table called ``name``.

    Raises:
        InputError: there is no such table.
    """
    if name not in TABLES:
        raise InputError(f"no table is called {name!r}; there are {', '.join(TABLES)} and table8")
    return TABLES[name]
