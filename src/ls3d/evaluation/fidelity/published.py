"""Rows of published tables, protocol by protocol, as their papers print them.

Where a later paper reprints an earlier method's score, the row is the later paper's. Sources: interpolation from
EMA-VFI (CVPR 2023), figures 2x_results and 4x_results; super-resolution from IART (CVPR 2024) and RVRT (NeurIPS 2022);
denoising from RVRT; "LS3D paper" is arXiv:2011.10974, tables 4 to 7.
"""

from __future__ import annotations

from ls3d.evaluation.protocol import PublishedRow


def _rows(text: str, columns: tuple[str, ...] = ("psnr", "ssim")) -> tuple[PublishedRow, ...]:
    """Parse lines such as ``RIFE: 35.61 .9779``; the last columns may be missing."""
    rows = []
    for line in text.strip().splitlines():
        method, _, values = line.strip().rpartition(":")
        rows.append(PublishedRow(method, dict(zip(columns, map(float, values.split()), strict=False))))
    return tuple(rows)


VIMEO_TRIPLET = _rows("""
    TOFlow: 33.73 .9682
    SepConv: 33.79 .9702
    AdaCoF: 34.47 .9730
    CAIN: 34.65 .9730
    DAIN: 34.71 .9756
    RIFE: 35.61 .9779
    IFRNet: 35.80 .9794
    SoftSplat: 36.10 .9802
    ABME: 36.18 .9805
    VFIFormer: 36.50 .9816
    EMA-VFI: 36.64 .9819
""")

VIMEO_SEPTUPLET = _rows("""
    DAIN: 33.35 .945
    SepConv: 33.60 .944
    CAIN: 33.93 .964
    FLAVR (4 frames): 36.25 .975
    IFRNet (2 frames): 36.37
    VRT (4 frames): 36.53 .977
""")

UCF101 = _rows("""
    TOFlow: 34.58 .9667
    SepConv: 34.78 .9669
    AdaCoF: 34.90 .9680
    CAIN: 34.91 .9690
    DAIN: 34.99 .9683
    RIFE: 35.28 .9690
    IFRNet: 35.29 .9693
    ABME: 35.38 .9698
    SoftSplat: 35.39 .9697
    VFIFormer: 35.43 .9700
    EMA-VFI: 35.48 .9701
""")

MIDDLEBURY = _rows(
    """
    SepConv: 2.27
    CAIN: 2.28
    AdaCoF: 2.24
    TOFlow: 2.15
    DAIN: 2.04
    ABME: 2.01
    RIFE: 1.96
    IFRNet: 1.95
    VFIFormer: 1.82
    SoftSplat: 1.81
    EMA-VFI: 1.81
    """,
    columns=("ie_abs",),
)

SNU_FILM = {
    "easy": _rows("""
        TOFlow: 39.08 .9890
        SepConv: 39.41 .9900
        DAIN: 39.73 .9902
        AdaCoF: 39.80 .9900
        RIFE: 39.80 .9903
        CAIN: 39.89 .9900
        EMA-VFI: 39.98 .9910
        IFRNet: 40.03 .9905
        VFIFormer: 40.13 .9907
    """),
    "medium": _rows("""
        TOFlow: 34.39 .9740
        SepConv: 34.97 .9762
        AdaCoF: 35.05 .9754
        DAIN: 35.46 .9780
        CAIN: 35.61 .9776
        RIFE: 35.76 .9787
        IFRNet: 35.94 .9793
        VFIFormer: 36.09 .9799
        EMA-VFI: 36.09 .9801
    """),
    "hard": _rows("""
        TOFlow: 28.44 .9180
        SepConv: 29.36 .9253
        AdaCoF: 29.46 .9244
        CAIN: 29.90 .9292
        DAIN: 30.17 .9335
        RIFE: 30.36 .9351
        IFRNet: 30.41 .9358
        VFIFormer: 30.67 .9378
        EMA-VFI: 30.94 .9392
    """),
    "extreme": _rows("""
        TOFlow: 23.39 .8310
        SepConv: 24.31 .8448
        AdaCoF: 24.31 .8439
        CAIN: 24.78 .8507
        IFRNet: 25.05 .8587
        DAIN: 25.09 .8584
        RIFE: 25.27 .8601
        VFIFormer: 25.43 .8643
        EMA-VFI: 25.69 .8661
    """),
}

X_TEST_4K = _rows("DAIN: 26.78\nIFRNet: 30.46\nRIFEm: 30.58\nM2M: 30.88\nEMA-VFI: 31.46")
X_TEST_2K = _rows("DAIN: 29.33\nRIFEm: 31.43\nIFRNet: 31.53\nM2M: 32.13\nEMA-VFI: 32.85")

CITYSCAPES = _rows("Super SloMo: 26.98 .807\nSepConv: 27.32 .819\nDAIN: 27.48 .830\nLS3D paper: 27.62 .837")
MLB_YOUTUBE = _rows("""
    Super SloMo: 28.38 .914
    SepConv: 28.87 .926
    LS3D paper, 3D convolution: 29.35 .942
    DAIN: 30.31 .954
    LS3D paper, 2 blocks: 30.97 .954
    LS3D paper, 4 blocks: 31.70 .962
    LS3D paper, 6 blocks: 31.98 .964
""")
#: Tables 2 and 3 of the LS3D paper, on MLB-YouTube: which blocks, and how many, have LS3D convolutions.
LS3D_STAGES = _rows("baseline: 29.35 .942\nres1,2: 29.70 .943\nres3,4: 30.45 .951\nres5,6: 30.97 .954")
LS3D_LAYERS = _rows("""
    baseline: 29.35 .942
    2-LS3D-Conv: 30.97 .954
    4-LS3D-Conv: 31.70 .962
    6-LS3D-Conv: 31.98 .964
""")
GAIT = _rows("Super SloMo: 32.70 .932\nSepConv: 33.01 .947\nDAIN: 35.02 .964\nLS3D paper: 35.82 .978")

VID4_BI_Y = _rows("""
    bicubic: 23.78 .6347
    SwinIR (one frame): 25.68 .7491
    TOFlow: 25.89 .7651
    RBPN: 27.12 .8180
    BasicVSR: 27.24 .8251
    EDVR: 27.35 .8264
    IconVSR: 27.39 .8279
    BasicVSR++: 27.79 .8400
    VRT: 27.93 .8425
    RVRT: 27.99 .8462
    PSRT-recurrent: 28.07 .8485
    IART: 28.26 .8517
""")

VID4_BD_Y = _rows("""
    bicubic: 21.80 .5246
    SwinIR (one frame): 25.25 .7262
    TOFlow: 25.85 .7659
    RBPN: 27.17 .8205
    DUF (8 pixels cropped): 27.38 .8329
    EDVR: 27.85 .8503
    BasicVSR: 27.96 .8553
    IconVSR: 28.04 .8570
    BasicVSR++: 29.04 .8753
    VRT: 29.42 .8795
    RVRT: 29.54 .8810
    IART: 29.68 .8884
""")

VID4_BI_Y_CROP8 = _rows("DUF: 27.33 .8319")

VID4_BI_RGB = _rows("TOFlow: 24.44 .7433\nDUF: 25.80 .8138")

REDS4_BI_RGB = _rows("""
    bicubic: 26.14 .7292
    TOFlow: 27.98 .7990
    DUF: 28.63 .8251
    SwinIR (one frame): 29.05 .8269
    RBPN: 30.09 .8590
    EDVR: 31.09 .8800
    BasicVSR: 31.42 .8909
    IconVSR: 31.67 .8948
    VRT: 32.19 .9006
    BasicVSR++: 32.39 .9069
    PSRT-recurrent: 32.72 .9106
    RVRT: 32.75 .9113
    IART: 32.90 .9138
""")

UDM10_BD_Y = _rows("""
    bicubic: 28.47 .8253
    SwinIR (one frame): 35.42 .9380
    TOFlow: 36.26 .9438
    DUF: 38.48 .9605
    RBPN: 38.66 .9596
    EDVR: 39.89 .9686
    BasicVSR: 39.96 .9694
    IconVSR: 40.03 .9694
    BasicVSR++: 40.72 .9722
    RVRT: 40.90 .9729
    VRT: 41.05 .9737
    IART: 41.15 .9750
""")

VIMEO90K_T_BI_Y = _rows("""
    bicubic: 31.32 .8684
    TOFlow: 33.08 .9054
    SwinIR (one frame): 35.67 .9287
    RBPN: 37.07 .9435
    BasicVSR: 37.18 .9450
    IconVSR: 37.47 .9476
    EDVR: 37.61 .9489
    BasicVSR++: 37.79 .9500
    IART: 38.14 .9528
    RVRT: 38.15 .9527
    VRT: 38.20 .9530
    PSRT-recurrent: 38.27 .9536
""")

VIMEO90K_T_BD_Y = _rows("""
    bicubic: 31.30 .8687
    SwinIR (one frame): 34.12 .9167
    TOFlow: 34.62 .9212
    DUF: 36.87 .9447
    RBPN: 37.20 .9458
    BasicVSR: 37.53 .9498
    EDVR: 37.81 .9523
    IconVSR: 37.84 .9524
    BasicVSR++: 38.21 .9550
    RVRT: 38.59 .9576
    IART: 38.62 .9579
    VRT: 38.72 .9584
""")

VIMEO90K_T_BI_RGB = _rows("""
    bicubic: 29.79 .8483
    TOFlow: 33.08 .9054
    LS3D paper, 3D convolution: 33.25 .9133
    RCAN: 33.61 .9101
    DUF: 34.33 .9227
    LS3D paper: 34.90 .9295
""")

YUV25 = _rows("""
    BRCN: 29.16 .84
    SRGAN: 29.20 .84
    VESPCN: 29.40 .85
    FSTRN: 29.95 .87
    LS3D paper: 30.17 .88
""")

SET8 = {
    10: _rows("DVDnet: 36.08\nFastDVDnet: 36.44\nPaCNet: 37.06\nVNLB: 37.26\nRVRT: 37.53\nVRT: 37.88"),
    20: _rows("FastDVDnet: 33.43\nDVDnet: 33.49\nVNLB: 33.72\nPaCNet: 33.94\nRVRT: 34.83\nVRT: 35.02"),
    30: _rows("FastDVDnet: 31.68\nVNLB: 31.74\nDVDnet: 31.79\nPaCNet: 32.05\nRVRT: 33.30\nVRT: 33.35"),
    40: _rows("VNLB: 30.39\nFastDVDnet: 30.46\nDVDnet: 30.55\nPaCNet: 30.70\nVRT: 32.15\nRVRT: 32.21"),
    50: _rows("VNLB: 29.24\nFastDVDnet: 29.53\nDVDnet: 29.56\nPaCNet: 29.66\nVRT: 31.22\nRVRT: 31.33"),
}

DAVIS_TEST = {
    10: _rows("DVDnet: 38.13\nFastDVDnet: 38.71\nVNLB: 38.85\nPaCNet: 39.97\nRVRT: 40.57\nVRT: 40.82"),
    20: _rows("VNLB: 35.68\nDVDnet: 35.70\nFastDVDnet: 35.77\nPaCNet: 36.82\nRVRT: 38.05\nVRT: 38.15"),
    30: _rows("VNLB: 33.73\nFastDVDnet: 34.04\nDVDnet: 34.08\nPaCNet: 34.79\nVRT: 36.52\nRVRT: 36.57"),
    40: _rows("VNLB: 32.32\nFastDVDnet: 32.82\nDVDnet: 32.86\nPaCNet: 33.34\nVRT: 35.32\nRVRT: 35.47"),
    50: _rows("VNLB: 31.13\nDVDnet: 31.85\nFastDVDnet: 31.86\nPaCNet: 32.20\nVRT: 34.36\nRVRT: 34.57"),
}

VIMEO_NOISE_15 = _rows("""
    Fixed Flow: 36.25 .9626
    LS3D paper, 3D convolution: 36.35 .9645
    TOFlow: 36.63 .9628
    LS3D paper: 36.90 .9732
""")

VIMEO_NOISE_25 = _rows("""
    LS3D paper, 3D convolution: 34.67 .9452
    Fixed Flow: 34.74 .9411
    TOFlow: 34.89 .9518
    LS3D paper: 35.23 .9605
""")

VIMEO_MIXED = _rows("TOFlow: 33.51")
