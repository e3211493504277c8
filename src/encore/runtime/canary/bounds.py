"""How far an operation may lie from its golden value before it counts as drifted, stated beforehand.

Sums: two float32 sums of K products that differ only in the order of their terms. Each rounding is at most
u = 2^-24 of a partial sum, partial sums of terms of random sign stay near the root of the sum of squares of
all terms, and roundings are as good as independent, so errors grow with the root of K (Higham and Mary, "A
new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41, 2019). Four deviations, for
the largest of thousands of entries and two computations, give 4 sqrt(K) u times that root; the largest entry
of a result here is larger than the root, and a unit in its last place at least u times it: 4 sqrt(K) scaled
ULP. The textbook bound (gamma_K times the sum of magnitudes) grows with K and would let operands of 10 bits
pass; those cost about 2,000 scaled ULP for any K. An operation of several sums may err by the sum of their
bounds; exponentials and roots err by a few ULP. The convolution computed by Winograd's F(4 x 4, 3 x 3), the
least exact method in use, lies 28 ULP from the exact result; its bound is 48.

Losses: each step amplifies the rounding of those before, so their bound is measured (`LOSSES`).
Pictures: libraries differ by design, so the bounds are what libraries were measured to differ, and some room.
"""

from __future__ import annotations

import math


def sums(*terms):
    """The bound in scaled ULP for sums of so many terms, one after the other."""
    return 4 * sum(math.sqrt(count) for count in terms)


# The largest drift over all pairs of torch 1.7.1, 2.0.1 and 2.13.0, one and two threads, every CPU capability
# and instruction set of oneDNN and MKL is 2 ULP; there is room for GPUs. Operands of 10 bits cost 200 in the
# linear layer alone and 1,100 in the convolutions, a momentum of 0.91 in place of 0.9 costs 53,000.
LOSSES = 64

_PIXELS, _OUTPUTS = 8 * 16 * 16, 32 * 9  # of one channel over the batch; products behind one input value
_FORWARD = (
    27,
    16 * 144,
    4,
    144,
    16 * 36,
    36,
    32,
    10,
)  # convolution, BatchNorm, pooling; twice; linear, softmax
_BACKWARD = (16, 10, 16 * 36, 16 * 36, _OUTPUTS, 16 * 144, 16 * 144, 16 * 144)

ULP = {
    "convolution forward": sums(16 * 9),
    "convolution backward to input": sums(_OUTPUTS),
    "convolution backward to weight": sums(_PIXELS),
    "BatchNorm forward": sums(_PIXELS),
    "BatchNorm running mean": sums(_PIXELS),
    "BatchNorm running variance": sums(_PIXELS),
    "BatchNorm backward to input": sums(_PIXELS, _PIXELS),
    "BatchNorm backward to weight and bias": sums(_PIXELS, _PIXELS),
    "matrix product": sums(256),
    "softmax": sums(256),
    "network forward": sums(*_FORWARD),
    "network gradient": sums(*(_FORWARD + _BACKWARD)),
    "losses of ten steps": LOSSES,
}

# (mean, largest) grey levels. JPEG: between libjpeg 9 and libjpeg-turbo, mean 0.3 to 0.64 and largest 41 on
# photographs. Resize: equal in all versions but for one level in some reduced crops.
GREY_LEVELS = {
    "JPEG decode": (1.0, 64),
    "JPEG encode": (1.0, 64),
    "resize bilinear": (0.1, 1),
    "resize bicubic": (0.1, 1),
    "resize lanczos": (0.1, 1),
}
