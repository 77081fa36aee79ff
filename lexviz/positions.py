"""Position encodings, one small class each, behind three hooks.

An encoding acts at one of three places, and says which by the method that it defines; the others do nothing:

    embed(x, positions)                     adds to the embeddings: Sinusoidal, Learned
    rotate(q, k, q_positions, k_positions)  turns queries and keys: Rope, Xpos, XposWithoutRotation
    bias(q, k, q_positions, k_positions)    adds to the scores q k^T / sqrt(d): Alibi, T5Bias, Shaw

x is (..., length, dim), q and k are (..., heads, length, head_dim), a bias broadcasts to (..., heads, queries, keys).
Positions default to 0, 1, 2, ... for the keys, and the queries are the last of them. Given positions are (length,), or
have as many axes as x or q less the last, and broadcast against those: (batch, length) for x, (batch, 1, length) for q
and k. Keys may differ by query, as retrieved ones do: then k is (..., heads, queries, keys, head_dim), and its
positions are (..., heads, queries, keys).
m is a query's position, n a key's, d = head_dim. Angles, scales and biases are computed in float32 or better.
"""

import bisect
import inspect
import math

import torch
from torch import Tensor, nn

from lexviz import checks, theory


class PositionEncoding(nn.Module):
    """Three hooks that do nothing. To try an idea, subclass and define one of them.

    >>> class Recency(PositionEncoding):
    ...     def bias(self, q, k, q_positions=None, k_positions=None):
    ...         return -torch.log1p(distances(q, k, q_positions, k_positions).abs())
    >>> x = torch.zeros(1, 2, 3, 8)  # (batch, heads, length, head_dim)
    >>> Recency().bias(x, x)[-1]
    tensor([-1.0986, -0.6931, -0.0000])
    """

    limit: int | None = None  # the longest text that it has positions for; None: any

    def __init__(self):  # without arguments, so that `arguments` of a class with no __init__ of its own are none
        super().__init__()

    def embed(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Embeddings x (..., length, dim) with their positions added."""
        return x

    def rotate(
        self, q: Tensor, k: Tensor, q_positions: Tensor | None = None, k_positions: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Queries and keys, turned so that their product depends on m - n."""
        return q, k

    def bias(
        self, q: Tensor, k: Tensor, q_positions: Tensor | None = None, k_positions: Tensor | None = None
    ) -> Tensor | None:
        """What is added to the scaled scores; None: nothing."""
        return None

    @property
    def arguments(self) -> dict:
        """What to call the class with to make this encoding again. Each __init__ keeps its arguments by their names.

        >>> Xpos(64, gamma=0.5).arguments
        {'head_dim': 64, 'gamma': 0.5, 'scale_base': 512.0, 'base': 10000.0}
        """
        names = list(inspect.signature(type(self)).parameters)
        kept = {*vars(self), *self._parameters, *self._buffers, *self._modules}
        if missing := [name for name in names if name not in kept]:
            raise TypeError(f"{type(self).__name__}.__init__ takes {missing[0]} and must keep it as self.{missing[0]}")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        """Arguments as torch prints them.

        >>> Rope(64)
        Rope(head_dim=64, base=10000.0)
        """
        return ", ".join(f"{name}={value}" for name, value in self.arguments.items())


def positions_of(q: Tensor, k: Tensor, q_positions=None, k_positions=None) -> tuple[Tensor, Tensor]:
    """Positions m (..., queries) and n (..., keys); by default 0, 1, ... for the keys, and the queries are the last.

    >>> q, k = torch.zeros(2, 8), torch.zeros(5, 8)  # (queries, head_dim), (keys, head_dim)
    >>> positions_of(q, k)
    (tensor([3, 4]), tensor([0, 1, 2, 3, 4]))
    """
    _check_tokens(q, k, q_positions is None)
    queries, keys = q.shape[-2], k.shape[-2]
    n = torch.arange(keys, device=k.device) if k_positions is None else _checked("k_positions", k_positions, k)
    m = n[..., keys - queries :] if q_positions is None else _checked("q_positions", q_positions, q)
    if k.ndim > q.ndim and n.ndim > 1:  # keys of each query
        n = n.expand(k.shape[:-1])
    return m, n


def distances(q: Tensor, k: Tensor, q_positions=None, k_positions=None) -> Tensor:
    """m - n for every query and key, exactly, however far out they stand; (..., queries, keys).

    >>> q, k = torch.zeros(2, 8), torch.zeros(4, 8)  # (queries, head_dim), (keys, head_dim)
    >>> distances(q, k)
    tensor([[ 2,  1,  0, -1],
            [ 3,  2,  1,  0]])
    >>> distances(q, k, q_positions=[10, 11])
    tensor([[10,  9,  8,  7],
            [11, 10,  9,  8]])
    """
    m, n = positions_of(q, k, q_positions, k_positions)
    return m[..., :, None] - (n if n.ndim == q.ndim else n[..., None, :])


# ---- embed: added to the embeddings -----------------------------------------------------------------------------


class NoPosition(PositionEncoding):
    """Nothing at all: what order there is comes from the causal mask alone.

    >>> x = torch.ones(1, 2, 3, 8)
    >>> q, k = NoPosition().rotate(x, x)
    >>> torch.equal(q, x), NoPosition().bias(x, x) is None
    (True, True)
    """


def encoding_or_none(position: PositionEncoding | None) -> PositionEncoding:
    """The encoding itself, and for None one that does nothing.

    >>> encoding_or_none(None)
    NoPosition()
    """
    position = NoPosition() if position is None else position
    checks.a(PositionEncoding, position=position)
    return position


class Sinusoidal(PositionEncoding):
    """PE[m, 2i] = sin(m theta_i), PE[m, 2i+1] = cos(m theta_i) (Vaswani et al.; Eq. 12 swaps the two).

    >>> Sinusoidal(4).embed(torch.zeros(2, 4))
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0100, 0.9999]])
    """

    def __init__(self, dim: int, base: float = 10000.0):
        super().__init__()
        self.dim, self.base = dim, base
        checks.pairs(dim=dim)
        self.theta = torch.from_numpy(theory.angles(dim, base))  # (dim/2,)

    def embed(self, x, positions=None):
        positions = _positions_in(x, positions, self.dim)
        phase = positions[..., None].to(_widest(x.device)) * self.theta.to(x.device, _widest(x.device))
        return x + torch.stack((phase.sin(), phase.cos()), dim=-1).flatten(-2).to(x.dtype)  # (..., length, dim)


class Learned(PositionEncoding):
    """A vector for each of `size` positions, learned; beyond them there is nothing to add, which is an error.

    >>> Learned(size=256, dim=128).limit
    256
    >>> Learned(size=2, dim=4).embed(torch.zeros(3, 4))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: positions run from 0 to 2; Learned has a fixed size and knows whole positions from 0 to 1 only. Cut ...
    """

    def __init__(self, size: int, dim: int):
        super().__init__()
        self.size, self.dim, self.limit = size, dim, size
        checks.at_least(1, size=size, dim=dim)
        self.table = nn.Parameter(0.02 * torch.randn(size, dim))

    def embed(self, x, positions=None):
        given, positions = positions, _positions_in(x, positions, self.dim)
        # the positions that were not given are known without a look at a tensor: no waiting for a GPU
        first, last = (0, x.shape[-2] - 1) if given is None else (positions.min().item(), positions.max().item())
        if positions.is_floating_point() or first < 0 or last >= self.size:
            raise ValueError(
                f"positions run from {first} to {last}; Learned has a fixed size and knows whole positions "
                f"from 0 to {self.size - 1} only. Cut the sequence, or take an encoding that extrapolates"
            )
        return x + self.table[positions].to(x.dtype)


# ---- rotate: turns queries and keys -----------------------------------------------------------------------------


class Rope(PositionEncoding):
    """RoPE: pair i of a vector at position m turns by m theta_i. Pairs are neighbours: (0, 1), (2, 3), ...

    With f_q(q, m) = q exp(i m theta) and f_k(k, n) = k exp(i n theta), the product Re(f_q conj(f_k)) holds m - n only
    (Eq. 4). Half-split implementations pair (0, d/2), (1, d/2 + 1), ...: the same, with the components renamed.

    >>> q, k = Rope(2).rotate(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    >>> q @ k.mT  # cos(1), cos(0)
    tensor([[0.5403, 1.0000]])
    """

    def __init__(self, head_dim: int, base: float = 10000.0):
        super().__init__()
        self.head_dim, self.base = head_dim, base
        self.theta = torch.from_numpy(theory.angles(head_dim, base))  # (d/2,); no buffer: .half() must not reach it
        self.xi = torch.zeros_like(self.theta)  # (d/2,), the log of the decay: none
        self._tables = {}  # turns of positions around 0, kept from call to call: every layer needs the same

    def rotate(self, q, k, q_positions=None, k_positions=None):
        _check_tokens(q, k, queries_are_last=q_positions is None)
        if not q.shape[-1] == k.shape[-1] == self.head_dim:
            wrong = k if q.shape[-1] == self.head_dim else q
            raise ValueError(
                f"q or k has head size {wrong.shape[-1]}; {type(self).__name__} was made for {self.head_dim}"
            )
        # Only m - n counts, so both may be moved alike: to the middle, where scales stay small and angles exact.
        if q_positions is None and k_positions is None and not torch.compiler.is_compiling():
            queries, keys = q.shape[-2], k.shape[-2]
            (for_q, _), (_, for_k) = self._around_0(q, keys), self._around_0(k, keys)  # (positions, d/2, 2)
            first_q, first_k = (len(table) // 2 - (keys - 1) // 2 for table in (for_q, for_k))  # rows of position 0
            first_q += keys - queries
            return _times(q, for_q[first_q : first_q + queries]), _times(k, for_k[first_k : first_k + keys])
        m, n = positions_of(q, k, q_positions, k_positions)
        low, high = _ends(m, n, q)
        centre = ((low + high) // 2)[..., None]
        by_query = centre[..., None] if n.ndim == q.ndim else centre
        return _times(q, self._turns(m - centre, q, self.xi)), _times(k, self._turns(n - by_query, k, -self.xi))

    def _turns(self, p: Tensor, x: Tensor, xi: Tensor) -> Tensor:
        """exp((xi + i theta) p), real and imaginary part for each pair: p (..., length) -> (..., length, d/2, 2)."""
        wide = _widest(x.device)
        p = p[..., None].to(x.device, wide)  # (..., length, 1)
        scale, angle = torch.exp(p * xi.to(x.device, wide)), p * self.theta.to(x.device, wide)  # (..., length, d/2)
        return torch.stack((scale * angle.cos(), scale * angle.sin()), dim=-1).to(_float32_or_better(x))

    def _around_0(self, x: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """The turns of queries and of keys at p around 0, enough for `length` tokens, computed once."""
        key = x.device, _float32_or_better(x)
        if key not in self._tables or len(self._tables[key][0]) <= length:
            with torch.inference_mode(False):  # tables made in inference mode could not be trained with
                far = 2 ** (length // 2).bit_length()
                p = torch.arange(-far, far + 1)
                self._tables[key] = self._turns(p, x, self.xi), self._turns(p, x, -self.xi)
        return self._tables[key]


class Xpos(Rope):
    """XPos: RoPE whose pair i also shrinks by zeta_i per B = scale_base positions of distance (Eq. 10, Algorithm 1).

    f_q(q, m) = q exp((xi + i theta) m),  f_k(k, n) = k exp((-xi + i theta) n),  xi = ln(zeta) / B,  and so
    s[m, n] = sum_i zeta_i^((m-n)/B) Re(q_i conj(k_i) exp(i (m-n) theta_i)).

    Keys grow as queries shrink. Positions count from the middle of all that are seen together, which puts off the day
    when a number format cannot hold their scales; past `theory.longest` that is an error. (It is the scales that are
    checked: a vector's own size comes on top, and in fp16 large keys become infinite somewhat earlier.)

    >>> x = torch.ones(1, 64)
    >>> q, k = Xpos(64).rotate(x, x, q_positions=[10_000_300], k_positions=[10_000_000])
    >>> torch.allclose(q @ k.mT, torch.tensor(2 * theory.expected_score(300, 64)).float())
    True
    """

    def __init__(self, head_dim: int, gamma: float = 0.4, scale_base: float = 512.0, base: float = 10000.0):
        super().__init__(head_dim, base)
        self.gamma, self.scale_base = gamma, scale_base
        self.xi = torch.from_numpy(theory.decay_rates(head_dim, gamma, scale_base))  # (d/2,)
        self.longest = {dtype: theory.longest(dtype, head_dim, gamma, scale_base) for dtype in theory.FORMATS}

    def rotate(self, q, k, q_positions=None, k_positions=None):
        _check_tokens(q, k, queries_are_last=q_positions is None)
        if q_positions is None and k_positions is None:
            length = k.shape[-2]  # known without a look at the tensors: no waiting for a GPU
        else:
            m, n = positions_of(q, k, q_positions, k_positions)
            low, high = _ends(m, n, q)
            length = int((high - low).max()) + 1
        for dtype in (str(x.dtype).removeprefix("torch.") for x in (q, k)):
            if length > self.longest[dtype]:
                raise ValueError(
                    f"positions span {length}, but with gamma={self.gamma} and scale_base={self.scale_base} the scales "
                    f"of XPos fit {dtype} over {self.longest[dtype]} at most. Attend within blocks or windows, or take "
                    "a wider dtype"
                )
        return super().rotate(q, k, q_positions, k_positions)


class XposWithoutRotation(Xpos):
    """XPos with theta = 0, the decay alone: the last row of the paper's Table 4 (section 4.4.1).

    The score fades with distance, and does not swing:

    >>> x = torch.ones(1001, 64)
    >>> q, k = XposWithoutRotation(64).rotate(x[:1], x, q_positions=[1000])
    >>> (q @ k.mT)[0, [1000, 500, 0]] / 64  # at distances 0, 500 and 1000
    tensor([1.0000, 0.6377, 0.4482])
    """

    def __init__(self, head_dim: int, gamma: float = 0.4, scale_base: float = 512.0):
        super().__init__(head_dim, gamma, scale_base)
        self.theta = torch.zeros_like(self.theta)


# ---- bias: added to the scores ----------------------------------------------------------------------------------


class Alibi(PositionEncoding):
    """ALiBi: head h adds -slope_h (m - n) (Eq. 15), slopes 2^(-8h/H) for h = 1 .. H.

    Where H is no power of two: the slopes of the power of two below, then every other one of those of the next.

    >>> Alibi(6).slopes
    [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]
    """

    def __init__(self, heads: int):
        super().__init__()
        self.heads = heads
        checks.at_least(1, heads=heads)
        power = 2 ** int(math.log2(heads))
        self.slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)]
        self.slopes += [2 ** (-8 * h / (2 * power)) for h in range(1, 2 * power, 2)][: heads - power]

    def bias(self, q, k, q_positions=None, k_positions=None):
        _check_heads(q, self.heads)
        distance = distances(q, k, q_positions, k_positions).to(_float32_or_better(q))  # (..., queries, keys)
        slopes = torch.tensor(self.slopes, device=q.device, dtype=distance.dtype)[:, None, None]  # (heads, 1, 1)
        return -slopes * distance  # (..., heads, queries, keys)


class T5Bias(PositionEncoding):
    """T5: a learned number for each head and bucket of distances (Eq. 14); causal, so the future shares bucket 0.

    The first half of the buckets hold one distance each, the others widen, the last takes all from max_distance on.
    (T5 itself leaves the scores unscaled; here they are divided by sqrt(d) as everywhere.)

    >>> T5Bias(heads=4).starts[14:20]
    [14, 15, 16, 19, 21, 24]
    """

    def __init__(self, heads: int, buckets: int = 32, max_distance: int = 128):
        super().__init__()
        self.heads, self.buckets, self.max_distance = heads, buckets, max_distance
        checks.at_least(1, heads=heads)
        checks.at_least(2, buckets=buckets)
        if buckets % 2 or buckets > 256:  # the more there are, the more digits have the whole numbers below
            raise ValueError(f"buckets is {buckets}; it must be even, as half of them are exact, and at most 256")
        exact = buckets // 2
        checks.at_least(exact + 1, max_distance=max_distance)
        # Bucket exact + j starts at exact (max_distance / exact)^(j / exact), rounded up, found with whole numbers
        # so that no rounding error can move a border.
        self.starts = list(range(exact))  # (buckets,)
        for j in range(exact):
            border = exact ** (exact - j) * max_distance**j
            start = bisect.bisect_left(range(max_distance), border, self.starts[-1], key=lambda start: start**exact)
            self.starts.append(start)
        self.table = nn.Parameter(0.02 * torch.randn(buckets, heads))

    def bucket(self, distance: Tensor) -> Tensor:
        """The bucket of each distance m - n: how many buckets start at or before it, less one.

        >>> T5Bias(heads=4).bucket(torch.tensor([-5, 0, 7, 15, 20, 127, 128, 9999]))
        tensor([ 0,  0,  7, 15, 17, 31, 31, 31])
        """
        starts = torch.tensor(self.starts, device=distance.device, dtype=distance.dtype)
        return torch.bucketize(distance.clamp(min=0), starts, right=True) - 1

    def bias(self, q, k, q_positions=None, k_positions=None):
        _check_heads(q, self.heads)
        bucket = self.bucket(distances(q, k, q_positions, k_positions))  # (..., queries, keys)
        head = torch.arange(self.heads, device=q.device)[:, None, None]  # (heads, 1, 1)
        return self.table[bucket, head].to(_float32_or_better(q))  # (..., heads, queries, keys)


class Shaw(PositionEncoding):
    """Shaw et al.: a learned vector omega for each distance, clipped to -clip .. clip, joins the key (Eq. 13).

    The score gains q omega / sqrt(d), so this bias depends on the query. Of Eq. 13 the key term only: the value term
    acts after the softmax, where none of the three hooks is.

    Beyond the clip all distances share a vector, so the bias no longer changes:

    >>> q = torch.ones(1, 1, 6, 8)  # (batch, heads, length, head_dim)
    >>> bias = Shaw(head_dim=8, clip=2).bias(q, q)[0, 0, 5]  # of the last query
    >>> [bool(bias[5 - n] == bias[3]) for n in range(6)]  # at distance n, as at distance 2
    [False, False, True, True, True, True]
    """

    def __init__(self, head_dim: int, clip: int):
        super().__init__()
        self.head_dim, self.clip = head_dim, clip
        checks.at_least(1, head_dim=head_dim)
        checks.at_least(0, clip=clip)
        self.omega = nn.Parameter(0.02 * torch.randn(2 * clip + 1, head_dim))  # row clip + c holds distance c

    def bias(self, q, k, q_positions=None, k_positions=None):
        dtype = _float32_or_better(q)
        row = distances(q, k, q_positions, k_positions).clamp(-self.clip, self.clip) + self.clip  # (..., queries, keys)
        if row.is_floating_point() or q.shape[-1] != self.head_dim:
            raise ValueError(
                f"q has head size {q.shape[-1]} and positions are {row.dtype}; Shaw was made for {self.head_dim} and "
                "takes whole positions"
            )
        with torch.autocast(q.device.type, enabled=False):  # it would take the product in half precision
            terms = q.to(dtype) @ self.omega.to(dtype).mT / math.sqrt(self.head_dim)  # (..., queries, 2 clip + 1)
        leading = torch.broadcast_shapes(terms.shape[:-1], row.shape[:-1])
        return terms.expand(*leading, -1).gather(-1, row.expand(*leading, -1))  # (..., heads, queries, keys)


# ---- small print ------------------------------------------------------------------------------------------------


def _check_tokens(q: Tensor, k: Tensor, queries_are_last: bool) -> None:
    checks.a(Tensor, q=q, k=k)
    for name, x in (("q", q), ("k", k)):
        if not x.is_floating_point() or x.ndim < 2 or not x.shape[-2]:
            raise ValueError(
                f"{name} is {x.dtype} of shape {tuple(x.shape)}; floats (..., tokens, head_dim) are needed"
            )
    if queries_are_last and (q.shape[-2] > k.shape[-2] or k.ndim > q.ndim):
        raise ValueError(
            f"q has {q.shape[-2]} tokens and k has {k.shape[-2]}; with fewer keys, or keys of each query, give "
            "q_positions"
        )


def _checked(name: str, positions, x: Tensor) -> Tensor:
    """Positions as a tensor beside x, whole ones in 64 bits, with as many tokens as x and no axis that x has not."""
    given = positions
    try:
        positions = torch.as_tensor(given, device=x.device)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} is {given!r}; positions are numbers, of which torch can make a tensor") from None
    if positions.dtype == torch.bool or positions.is_complex():
        raise ValueError(f"{name} is {positions.dtype}; positions are numbers")
    if not positions.is_floating_point():
        positions = positions.long()  # differences of narrow integers would wrap around
    elif not torch.compiler.is_compiling() and not positions.isfinite().all():
        raise ValueError(f"{name} is {given!r}; positions are finite")
    if positions.shape[-1:] != x.shape[-2:-1] or positions.ndim not in (1, x.ndim - 1):
        raise ValueError(
            f"{name} has shape {tuple(positions.shape)}; it must be ({x.shape[-2]},) or have {x.ndim - 1} axes that "
            f"broadcast against {tuple(x.shape[:-1])}"
        )
    return positions


def _positions_in(x: Tensor, positions, dim: int) -> Tensor:
    checks.a(Tensor, x=x)
    if not x.is_floating_point() or x.ndim < 2 or not x.shape[-2] or x.shape[-1] != dim:
        raise ValueError(f"x is {x.dtype} of shape {tuple(x.shape)}; floats (..., tokens, {dim}) are needed")
    return torch.arange(x.shape[-2], device=x.device) if positions is None else _checked("positions", positions, x)


def _times(x: Tensor, turns: Tensor) -> Tensor:
    """The pairs of x (..., length, d), read as complex numbers, times turns (..., length, d/2, 2)."""
    pairs = x.to(turns.dtype).unflatten(-1, (-1, 2))  # (..., length, d/2, 2)
    if torch.compiler.is_compiling():  # torch.compile knows no complex numbers
        (a, b), (c, d) = pairs.unbind(-1), turns.unbind(-1)
        turned = torch.stack((a * c - b * d, a * d + b * c), dim=-1)
    else:  # one pass over the memory instead of six; a pair has to lie in one piece, at an even place
        if pairs.stride(-1) != 1 or any(place % 2 for place in (pairs.storage_offset(), *pairs.stride()[:-1])):
            pairs = pairs.clone(memory_format=torch.contiguous_format)
        turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(turns))
    return turned.flatten(-2).to(x.dtype)


def _ends(m: Tensor, n: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest and the highest position of each sequence, over queries and keys together."""
    keys = n.flatten(-2) if n.ndim == q.ndim else n  # those of all queries
    return torch.minimum(m.amin(-1), keys.amin(-1)), torch.maximum(m.amax(-1), keys.amax(-1))


def _check_heads(q: Tensor, heads: int) -> None:
    checks.a(Tensor, q=q)
    if q.ndim < 3 or q.shape[-3] != heads:
        raise ValueError(
            f"q has shape {tuple(q.shape)}; this encoding was made for (..., {heads} heads, length, head_dim)"
        )


def _float32_or_better(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _widest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no float64
