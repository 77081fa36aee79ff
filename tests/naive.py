"""Independent references, written from the paper's formulas: plain loops, complex numbers, Python floats."""

import cmath
import math


def theta(i, d, base=10000.0):
    return base ** (-2 * i / d)


def zeta(i, d, gamma=0.4):
    return (i / (d / 2) + gamma) / (1 + gamma)


def as_complex(vector):
    """Neighbouring components form the pairs: (0, 1), (2, 3), ..."""
    return [complex(vector[2 * i], vector[2 * i + 1]) for i in range(len(vector) // 2)]


def score(q, k, distance, gamma=None, scale_base=512.0, base=10000.0, rotation=True):
    """sum_i zeta_i^(distance / B) Re(q_i conj(k_i) exp(i distance theta_i)): what XPos is for; gamma=None is RoPE."""
    d, total = len(q), 0.0
    for i, (a, b) in enumerate(zip(as_complex(q), as_complex(k), strict=True)):
        turn = cmath.exp(1j * distance * theta(i, d, base)) if rotation else 1.0
        decay = 1.0 if gamma is None else zeta(i, d, gamma) ** (distance / scale_base)
        total += decay * (a * b.conjugate() * turn).real
    return total


def expected_score(n, d, gamma, scale_base=512.0, base=10000.0):
    """Eq. 8: the score of two vectors whose pairs all have length 1 and the same direction."""
    return score([1.0, 0.0] * (d // 2), [1.0, 0.0] * (d // 2), n, gamma, scale_base, base)


def alibi_slopes(heads):
    power = 1
    while 2 * power <= heads:
        power *= 2
    own = [2.0 ** (-8 * h / power) for h in range(1, power + 1)]
    between = [2.0 ** (-8 * h / (2 * power)) for h in range(1, 2 * power + 1)]
    return own + between[0::2][: heads - power]


def t5_bucket(distance, buckets=32, longest=128):
    exact = buckets // 2
    if distance < 0:
        return 0
    if distance < exact:
        return distance
    logarithmic = exact + math.floor(math.log(distance / exact) / math.log(longest / exact) * (buckets - exact) + 1e-12)
    return min(logarithmic, buckets - 1)


def softmax(scores):
    top = max(scores)
    weights = [math.exp(s - top) for s in scores]
    return [w / sum(weights) for w in weights]
