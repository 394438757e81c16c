"""Counts as they may be told: with noise, rounded, and none of few patients.

To each count a draw of a normal distribution is added before it is rounded. It is drawn by HMAC under the site's key
from what the question means (`gateway.search.meaning`), the dataset, and the state that the dataset is in. So:

- The same question, however it is written, has the same answer as long as nothing in the dataset changes: to ask
  again, and to average, gains nothing.
- Another question has another draw, even where it finds the same studies. Noise that hung on the set of studies would
  show whether two questions find the same set: "all" and "all but her" would have one answer if she were not there, and
  two if she were.
- A change of the dataset draws all of its answers anew, also those that it has nothing to do with: who asks before and
  after sees that something changed, and not of whom.
- A patient counts with at most `most` studies, as many as 19 of 20 patients of the node have at most, and the noise of
  a number of studies is as many times that of a number of patients: it hides each patient, and not each study.
- Fewer than `FEWEST` patients are never told, and whether somewhat more are is a matter of the draw: none and few look
  alike, and a number that is told does not show that a certain patient made it enough. There is no total.

What this guarantees: each number that is told is one of a Gaussian mechanism of sensitivity 1, in units of `sigma`
(C. Dwork and A. Roth 2014, appendix A), but for the lower limit, which five patients pass with probability 0.16 at
`sigma` 5 and four never. Who spends a budget of B questions on one patient, in pairs that differ in her alone, without
knowing how many others there are, tells whether she is there as well as two normal distributions can be told that lie
sqrt(B / 2) / sigma apart: with B = 60 and `sigma` = 5 the best guess is right in 71 of 100 cases, with two questions in
54; a coin is in 50.

What it does not: who knows all other patients exactly needs half as many questions; budgets are a day's; askers who
work together have one each; and a number that is told proves that there are five. What is told of a dataset as such
(ages, sexes, modalities, body parts) is told once for each of its states.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from statistics import NormalDist

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FEWEST = 5  # patients
LEAST = 10  # what is told at least
STEP = 5
"""Told numbers are multiples of it."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Protection:
    """Tells counts. `sigma` is the standard deviation of the noise on a number of patients; 0: there is none."""

    key: bytes = field(repr=False)
    sigma: float

    @classmethod
    def derive(cls, site_key: bytes, sigma: float) -> "Protection":
        """With a key of its own, by HKDF-SHA256 (RFC 5869)."""
        hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"senogate search 1 counts")
        return cls(hkdf.derive(site_key), sigma)

    def digest(self, *parts: bytes) -> bytes:
        """A keyed hash of the parts, 32 bytes."""
        told = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self.key, told, hashlib.sha256)

    def tell(self, patients: int, studies: int, most: int, *about: bytes) -> tuple[int, int] | None:
        """Numbers of patients and of studies, of which a patient counts with `most` at most; None for too few.

        `about` is what the numbers are of. Noise of another scale is another draw: of two the numbers would follow.
        """
        told = patients + self.sigma * self._draw(f"patients by {self.sigma}".encode(), *about)
        if patients < FEWEST or (self.sigma and told < LEAST):
            return None
        scale = most * self.sigma
        more = studies + scale * self._draw(f"studies by {scale}".encode(), *about)
        rounded = max(_round(told), STEP)
        return rounded, max(_round(more), rounded)

    def is_told(self, patients: int, *about: bytes) -> bool:
        """Whether patients are enough to be told that there are any."""
        return self.tell(patients, patients, 1, *about) is not None

    def _draw(self, *parts: bytes) -> float:
        number = int.from_bytes(self.digest(*parts)[:8], "big") >> 11
        return _NORMAL.inv_cdf((number + 0.5) / 2**53)


def _round(number: float) -> int:
    return round(number / STEP) * STEP
