"""The four kinds of plants, one for each sub-data-set of CVPPP, with their pots and cameras: all numbers of the looks.

Ranges are uniform (low, high). Lengths are shares of the side of the picture unless a unit is given, colours RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]
Palette = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Species:
    """How plants of a kind grow, on what, and how they are photographed.

    Attributes:
        num_leaves: of a plant at its last photograph.
        length: of its longest leaf, with petiole.
        petiole: share of a leaf's length without blade.
        width: half the blade's width, share of the blade's length.
        taper, tip: exponents p and q of the blade's outline t^p (1 - t)^q; a small q gives a round tip.
        waviness: amplitude of the margin's waves, share of the half width.
        tissue: base colours of a grown leaf; ``young``: those of the youngest.
        spread: standard deviation of a leaf's colour around its plant's, grey levels.
        veins: contrast of midrib and side veins, share of the brightness.
        soil: base colours of the soil; ``around``: those of tray or floor outside the pot.
        moss, stones, pot: probabilities of moss patches, of many light stones, and that the rim of the pot is seen.
        shadow: darkening by the shadow of a leaf, 0..1.
        exposure .. jpeg_quality: as in `ptseg_d2.worlds.drawing.photograph.Film`.
    """

    num_leaves: Range
    length: Range
    petiole: Range
    width: Range
    taper: Range
    tip: Range
    waviness: Range
    tissue: Palette
    young: Palette
    soil: Palette
    around: Palette
    spread: float = 6.0
    veins: Range = (0.05, 0.15)
    moss: float = 0.3
    stones: float = 0.3
    pot: float = 0.5
    shadow: Range = (0.3, 0.65)
    exposure: Range = (0.8, 1.15)
    white_balance: float = 0.04
    contrast: Range = (0.9, 1.1)
    saturation: Range = (0.85, 1.1)
    vignetting: Range = (0.0, 0.25)
    blur_px: Range = (0.3, 0.8)
    sensor_noise: Range = (1.0, 4.0)
    jpeg_quality: tuple[int, int] = (80, 97)


CRESS = Species(
    num_leaves=(8, 22),
    length=(0.32, 0.56),
    petiole=(0.30, 0.48),
    width=(0.30, 0.42),
    taper=(0.65, 1.0),
    tip=(0.40, 0.58),
    waviness=(0.0, 0.05),
    tissue=((92, 124, 44), (104, 134, 52), (84, 118, 48), (112, 138, 60)),
    young=((134, 160, 70), (122, 152, 66)),
    soil=((44, 38, 34), (54, 44, 38), (36, 34, 32), (66, 54, 46)),
    around=((26, 26, 28), (40, 40, 42), (84, 80, 76)),
    moss=0.4,
)

MUTANT = Species(
    num_leaves=(6, 14),
    length=(0.28, 0.48),
    petiole=(0.15, 0.38),
    width=(0.36, 0.52),
    taper=(0.5, 0.9),
    tip=(0.36, 0.55),
    waviness=(0.02, 0.09),
    tissue=((98, 128, 66), (84, 112, 58), (118, 142, 78), (96, 118, 72)),
    young=((140, 162, 92), (124, 146, 82)),
    soil=((70, 60, 50), (58, 50, 44), (82, 70, 56)),
    around=((60, 62, 64), (34, 34, 36), (110, 108, 104)),
    spread=7.0,
    moss=0.6,
    stones=0.5,
    pot=0.7,
    blur_px=(0.5, 1.1),
)

TOBACCO = Species(
    num_leaves=(4, 9),
    length=(0.46, 0.70),
    petiole=(0.06, 0.20),
    width=(0.25, 0.36),
    taper=(0.5, 0.72),
    tip=(0.62, 0.9),
    waviness=(0.0, 0.05),
    tissue=((104, 148, 56), (118, 158, 66), (92, 136, 54)),
    young=((142, 178, 84), (132, 168, 76)),
    soil=((78, 56, 44), (64, 48, 40), (92, 70, 56)),
    around=((150, 146, 140), (44, 44, 48), (110, 66, 48), (190, 188, 184)),
    veins=(0.12, 0.28),
    moss=0.15,
    stones=0.4,
    pot=0.8,
    blur_px=(0.2, 0.6),
)

FIELD_CRESS = Species(
    num_leaves=(8, 24),
    length=(0.30, 0.54),
    petiole=(0.25, 0.45),
    width=(0.26, 0.40),
    taper=(0.6, 1.1),
    tip=(0.42, 0.66),
    waviness=(0.01, 0.07),
    tissue=((70, 104, 48), (78, 112, 58), (62, 92, 46), (88, 116, 62)),
    young=((112, 142, 74), (104, 132, 66)),
    soil=((40, 34, 30), (52, 42, 34), (34, 30, 30)),
    around=((24, 26, 32), (48, 58, 84), (62, 62, 64)),
    spread=5.0,
    moss=0.35,
    stones=0.35,
    pot=0.6,
    sensor_noise=(2.0, 6.0),
)

# sub-data-set -> its plants and their share of all plants
SPECIES: dict[str, tuple[Species, float]] = {
    "A1": (CRESS, 0.4),
    "A2": (MUTANT, 0.2),
    "A3": (TOBACCO, 0.2),
    "A4": (FIELD_CRESS, 0.2),
}
