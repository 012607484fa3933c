"""Generated faces: seeded embeddings whose identities are about as hard to find as real ones.

A face is a weighted sum of anisotropic Gaussian vectors. Shares are squared cosines; c and m vary with
the identity (Beta distributions), q with identity and image (heavy-tailed)::

    centre = sqrt(c) family + sqrt(1 - c) own           members of a family look alike
    mode   = sqrt(m) change + sqrt(1 - m) centre        age, pose, occasion: a few per identity
    lost   = sqrt(p) condition + sqrt(k) family + sqrt(1 - p - k) noise
    face   = unit(sqrt(q) mode + sqrt(1 - q) (1 - f) lost + sqrt(v / (1 - v)) mean)

q is the quality of the image, v the share of what all faces have in common, and f the share by which an
embedder shortens what it cannot read: with a common mean, poor images then lie close to it.

A poor image (small q) moves towards its family and towards other identities' images of the same
condition (blur, profile, dark glasses): it becomes a hub, and a bridge between identities. Finally, some
faces get a wrong identity. ``docs/calibration.md`` compares the presets with real faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError

__all__ = ["PRESETS", "FaceDistribution", "GeneratedFaces", "generate"]

CHUNK_VALUES = 1 << 22  # float32 values generated at a time; the result does not depend on it

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Rng = np.random.Generator

_SHARES = {
    *("tail_share", "kin", "mode_share", "poor_common", "poor_kin", "wrong", "outsider"),
    *("common_mean", "fading"),
}
_MAY_BE_ZERO = {"spectrum_decay", "noise_decay", "body_spread", "quality_identity", "quality_image"}


@dataclass(frozen=True)
class FaceDistribution:
    """Parameters of a set of generated faces; the defaults are the preset "wild". Shares are in [0, 1].

    Attributes
    ----------
    spectrum_knee, spectrum_decay, noise_decay : float
        Variance along principal axis r is proportional to (1 + r / knee) ** -decay, with one decay
        for identities and another for variation between the images of one identity.
    body_size, body_spread : float
        Number of faces of most identities, a rounded normal: mean and standard deviation.
    tail_share, tail_exponent : float
        Share of identities whose size is from the tail instead: P(size >= s) = s ** -exponent.
    max_size : int
        Maximum number of faces of an identity.
    family_size, kin, kin_concentration : float
        Mean number of identities in a family; share c of the family in an identity, a Beta
        distribution: mean and concentration (a + b).
    modes, mode_share, mode_concentration : int, float, float
        Maximum number of sub-modes of an identity, the first being the most frequent; share m of an
        identity that a sub-mode changes, a Beta distribution as well.
    quality, quality_identity : float
        Median quality of an identity's images, in logits: mean and deviation over identities.
    quality_image, quality_tail : float
        Deviation of an image from it, a Student t: scale (logits) and degrees of freedom.
    conditions : int
        Number of conditions that spoil images, common to all identities.
    poor_common, poor_kin : float
        Shares p and k of the lost part of an image that come from its condition and its family.
    wrong, outsider, outsider_faces : float
        Share of faces with a wrong identity; share of those that show people outside the set; mean
        number of faces of such an outsider.
    common_mean, fading : float
        Shares v of a mean common to all faces, below 1, and f by which the lost part is shortened.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    spectrum_knee: float = 18.5
    spectrum_decay: float = 1.2
    noise_decay: float = 1.4
    body_size: float = 23.0
    body_spread: float = 5.0
    tail_share: float = 0.08
    tail_exponent: float = 0.7
    max_size: int = 35
    family_size: float = 14.0
    kin: float = 0.125
    kin_concentration: float = 10.0
    modes: int = 12
    mode_share: float = 0.22
    mode_concentration: float = 6.0
    quality: float = 0.87
    quality_identity: float = 0.18
    quality_image: float = 0.45
    quality_tail: float = 3.1
    conditions: int = 100
    poor_common: float = 0.11
    poor_kin: float = 0.05
    wrong: float = 0.03
    outsider: float = 0.95
    outsider_faces: float = 2.0
    common_mean: float = 0.0
    fading: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in _SHARES and not 0 <= value <= 1:
                raise InputError(f"{name} is a share in [0, 1], got {value}.")
            if not abs(value) < np.inf or (name in _MAY_BE_ZERO and value < 0):
                raise InputError(f"{name} must be a finite number from 0 up, got {value}.")
            if name not in _SHARES | _MAY_BE_ZERO | {"quality"} and value <= 0:
                raise InputError(f"{name} must be above 0, got {value}.")
        if self.common_mean == 1:
            raise InputError("common_mean must be below 1, or all faces would be the same.")
        if self.poor_common + self.poor_kin > 1:
            raise InputError("poor_common and poor_kin are shares of one whole: lower one of them.")


# Lines by subject: spectrum, sizes, families and sub-modes, quality, poor and wrong images.
# fmt: off
PRESETS: dict[str, FaceDistribution] = {
    "wild": FaceDistribution(),
    "lfw": FaceDistribution(
        spectrum_knee=13, spectrum_decay=1.5, noise_decay=1.15,
        tail_share=1, tail_exponent=1.75, max_size=1000,
        family_size=23, kin=0.23, kin_concentration=18, modes=5, mode_share=0.12,
        mode_concentration=29, quality=1.2, quality_identity=0.21, quality_image=0.3,
        quality_tail=6,
        poor_common=0.17, poor_kin=0, wrong=0.005,
    ),
    "lowres": FaceDistribution(
        spectrum_decay=1.3, noise_decay=1.7,
        body_size=3.2, body_spread=1.9, tail_share=0,
        family_size=36, kin=0.235, kin_concentration=5, modes=5, mode_share=0.29,
        mode_concentration=7, quality=0.1, quality_identity=0.2, quality_image=0.8, quality_tail=10,
        poor_common=0.3, poor_kin=0.02, wrong=0.01,
    ),
    # Sizes are those of the clustering benchmark of MS-Celeb-1M, which keeps identities with many images
    # (68 on average). The whole collection has 18 per identity on average.
    "ms1m": FaceDistribution(
        spectrum_knee=15, noise_decay=1.3,
        body_size=68, body_spread=21, tail_share=0.01, max_size=150,
        family_size=3, kin=0.15, kin_concentration=0.7, mode_share=0.1,
        quality=0.85, quality_identity=0.35, quality_image=0.35, quality_tail=1.8,
        conditions=140, poor_common=0.83, poor_kin=0.03, wrong=0.02, outsider=1,
        outsider_faces=1,
    ),
    # A twin of the same benchmark: on it, well-known methods score about what was published for them on
    # the benchmark's own sizes. Found by recipes/twin.py, which runs these methods only.
    "msceleb": FaceDistribution(
        spectrum_knee=10, spectrum_decay=1.88, noise_decay=1.45,
        body_size=63.2, body_spread=62, tail_share=0, max_size=200,
        kin=0, modes=4, mode_share=0.162, mode_concentration=30,
        quality=0.85, quality_identity=0.42, quality_image=0.317, quality_tail=6.4,
        poor_common=0, poor_kin=0, wrong=0.02, outsider=0.5, outsider_faces=1,
    ),
}
# fmt: on


@dataclass(frozen=True)
class GeneratedFaces:
    """Generated faces, in random order.

    Attributes
    ----------
    embeddings : ndarray of float32, shape (n, d)
        Unit vectors.
    identities : ndarray of int64, shape (n,)
        Identity of each face, 0..c-1, as a real set would label it: a few are wrong.
    """

    embeddings: Floats
    identities: Ints


def generate(
    n: int,
    preset_or_distribution: str | FaceDistribution = "ms1m",
    *,
    dimension: int = 256,
    seed: int = 0,
) -> GeneratedFaces:
    """Generate faces with identities; equal arguments give equal faces.

    Parameters
    ----------
    n : int
        Number of faces, at least 1.
    preset_or_distribution : str or FaceDistribution
        A name in `PRESETS`, or your own parameters.
    dimension : int
        Embedding dimension d, at least 1; with a lower dimension, impostor pairs are more similar. The
        principal axes are the coordinate axes for every seed: another seed gives other identities of the
        same embedder.
    seed : int
        Seed of everything random, at least 0.

    Raises
    ------
    InputError
        If the preset is unknown, or a number is not an integer in its range.
    """
    given = preset_or_distribution
    distribution = PRESETS.get(given) if isinstance(given, str) else given
    if distribution is None:
        raise InputError(f"There is no preset {given!r}: use one of {', '.join(PRESETS)}.")
    for name, value, least in (("n", n, 1), ("dimension", dimension, 1), ("seed", seed, 0)):
        if not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name} must be an integer from {least} up, got {value!r}.")
    label_rng, people_rng, image_rng, noise_rng = np.random.default_rng(int(seed)).spawn(4)
    scale = _axes(dimension, distribution.spectrum_knee, distribution.spectrum_decay)
    change_scale = _axes(dimension, distribution.spectrum_knee, distribution.noise_decay)

    identities = _identities(n, distribution, label_rng)
    person, people = _people_shown(identities, distribution, label_rng)
    families, family, centres = _people(people, scale, distribution, people_rng)
    modes, mode = _modes(person, centres, change_scale, distribution, people_rng)
    conditions = _vectors(
        distribution.conditions, change_scale * distribution.poor_common**0.5, people_rng
    )
    condition = image_rng.integers(distribution.conditions, size=n)
    quality = _qualities(person, people, distribution, image_rng)
    families *= distribution.poor_kin**0.5
    faces = np.empty((n, dimension), np.float32)
    noise_scale = change_scale * max(0, 1 - distribution.poor_common - distribution.poor_kin) ** 0.5
    # Along the diagonal, which no principal axis is close to.
    common = np.sqrt(distribution.common_mean / (1 - distribution.common_mean) / dimension)
    rows = max(1, CHUNK_VALUES // dimension)
    for start in range(0, n, rows):
        part = slice(start, start + rows)
        lost = _vectors(len(mode[part]), noise_scale, noise_rng)
        lost += conditions[condition[part]]
        lost += families[family[person[part]]]
        lost *= np.float32(1 - distribution.fading)
        mixed = _mix(1 - quality[part], lost, modes[mode[part]])
        mixed += np.float32(common)
        faces[part] = _unit(mixed)
    return GeneratedFaces(faces, identities)


def _identities(n: int, distribution: FaceDistribution, rng: Rng) -> Ints:
    """Labelled identity of each face (n,); the last identity is cut short so that there are n faces."""
    sizes = np.rint(distribution.body_size + distribution.body_spread * rng.standard_normal(n))
    in_tail = rng.random(n) < distribution.tail_share
    sizes[in_tail] = np.floor((1 - rng.random(in_tail.sum())) ** (-1 / distribution.tail_exponent))
    ends = np.cumsum(np.clip(sizes, 1, distribution.max_size).astype(np.int64))
    identities = np.searchsorted(ends, np.arange(n), side="right")
    rng.shuffle(identities)
    return identities


def _people_shown(identities: Ints, distribution: FaceDistribution, rng: Rng) -> tuple[Ints, int]:
    """Return the true identity of each face (n,), and the number of identities with outsiders."""
    n, people = len(identities), int(identities.max()) + 1
    wrong = np.flatnonzero(rng.random(n) < distribution.wrong)
    person = identities.copy()
    person[wrong] = identities[rng.integers(n, size=len(wrong))]
    outside = wrong[rng.random(len(wrong)) < distribution.outsider]
    outsiders = int(np.ceil(len(outside) / distribution.outsider_faces))
    person[outside] = people + rng.integers(max(1, outsiders), size=len(outside))
    return person, people + outsiders


def _people(
    people: int, scale: Floats, distribution: FaceDistribution, rng: Rng
) -> tuple[Floats, Ints, Floats]:
    """Families (f, d), family of each identity (people,), centre of each identity (people, d)."""
    families = _vectors(max(1, round(people / distribution.family_size)), scale, rng)
    family = rng.integers(len(families), size=people)
    share = _beta(distribution.kin, distribution.kin_concentration, people, rng)
    return families, family, _mix(share, families[family], _vectors(people, scale, rng))


def _modes(
    person: Ints, centres: Floats, scale: Floats, distribution: FaceDistribution, rng: Rng
) -> tuple[Floats, Ints]:
    """Sub-modes in use (m, d), and sub-mode of each face (n,); the square favours the first."""
    number = (distribution.modes * rng.random(len(person)) ** 2).astype(np.int64)
    used, mode = np.unique(person * distribution.modes + number, return_inverse=True)
    owner = used // distribution.modes
    share = _beta(distribution.mode_share, distribution.mode_concentration, len(centres), rng)[owner]
    return _mix(share, _vectors(len(used), scale, rng), centres[owner]), mode


def _qualities(person: Ints, people: int, distribution: FaceDistribution, rng: Rng) -> Floats:
    """Quality of each image, in [0, 1] (n, 1)."""
    level = distribution.quality + distribution.quality_identity * rng.standard_normal(people)
    logit = level[person] + distribution.quality_image * rng.standard_t(
        distribution.quality_tail, len(person)
    )
    return (0.5 + 0.5 * np.tanh(logit / 2)).astype(np.float32)[:, None]


def _axes(dimension: int, knee: float, decay: float) -> Floats:
    """Return the standard deviations along the principal axes (d,), of squared sum 1."""
    variance = (1 + np.arange(dimension) / knee) ** -decay
    scale: Floats = np.sqrt(variance / variance.sum()).astype(np.float32)
    return scale


def _vectors(count: int, scale: Floats, rng: Rng) -> Floats:
    """Gaussian vectors (count, d) of length about 1."""
    vectors = rng.standard_normal((count, len(scale)), dtype=np.float32)
    vectors *= scale
    return vectors


def _beta(mean: float, concentration: float, count: int, rng: Rng) -> Floats:
    """Shares (count, 1) from a Beta distribution, or all equal if the mean is 0 or 1."""
    if mean in (0, 1):
        return np.full((count, 1), mean, np.float32)
    a, b = mean * concentration, (1 - mean) * concentration
    return rng.beta(a, b, (count, 1)).astype(np.float32)


def _mix(share: Floats, part: Floats, rest: Floats) -> Floats:
    """Mix in place so that ``share`` (count, 1) of the squared length comes from ``part``."""
    part *= np.sqrt(share)
    rest *= np.sqrt(1 - share)
    part += rest
    return part


def _unit(vectors: Floats) -> Floats:
    """Scale rows to length 1 in place; a zero row, possible when d = 1, becomes an axis."""
    vectors[~vectors.any(axis=1), 0] = 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
