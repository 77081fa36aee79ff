"""What earlier tokens leave behind for later ones, one object a layer.

A model's layer asks its cache two things, and so can any other object with these names (`landmark.LandmarkCache`):

    inputs(x)                   what to make keys and values from, given the layer's input x
    attend(q, k, v, position)   attention of the new tokens to all that they may see

and `length` says how many tokens came so far.
"""

import torch
from torch import Tensor

from lexviz import checks, masks
from lexviz.attention import attention
from lexviz.masks import Mask
from lexviz.positions import PositionEncoding


class KeyValueCache:
    """Keys and values of the tokens so far, one object a layer: call after call, attention sees one long sequence.

    A call brings any number of new tokens. Kept is what some later query can need, by the mask's span: for block
    causal attention never more than two blocks. Keys are kept before rotation, because windows move on; and without
    gradients, so that earlier calls are memory and not part of the graph.
    (A mask that looks ahead sees what has come so far.)

    >>> from lexviz.attention import attend
    >>> q, k, v = torch.randn(3, 1, 2, 10, 8)
    >>> cache = KeyValueCache(masks.block_causal(4))
    >>> parts = [cache.attend(q[:, :, t], k[:, :, t], v[:, :, t]) for t in (slice(0, 6), slice(6, 9), slice(9, 10))]
    >>> torch.allclose(torch.cat(parts, dim=2), attend(q, k, v, masks.block_causal(4)), atol=1e-6), cache.kept
    (True, 6)
    """

    def __init__(self, mask: Mask):
        checks.a(Mask, mask=mask)
        self.mask = mask
        self.length = 0  # tokens seen
        self.k = self.v = None  # (batch, heads, kept, head_dim), the last ones

    @property
    def kept(self) -> int:
        """How many tokens' keys and values are kept."""
        return 0 if self.k is None else self.k.shape[-2]

    def inputs(self, x: Tensor) -> Tensor:
        """What keys and values are to be made from, given a layer's input x (batch, new, width): x."""
        return x

    def attend(self, q, k, v, position: PositionEncoding | None = None) -> Tensor:
        """Attention of the new tokens' queries to all that their mask allows; their keys and values are kept."""
        checks.heads(q, k, v)
        start, stop = self.length, self.length + q.shape[-2]
        if self.k is not None:
            _check_alike((k, v), (self.k, self.v))
            k, v = torch.cat((self.k, k), dim=2), torch.cat((self.v, v), dim=2)
        out = attention(q, k, v, self.mask, position, *_ranges(start, stop, k.shape[-2]))
        keep = _still_needed(self.mask, stop, k.shape[-2])
        self.length = stop
        self.k, self.v = (x[:, :, x.shape[2] - keep :].detach().clone() for x in (k, v))  # a copy frees the rest
        return out


class SegmentCache:
    """Transformer-XL's recurrence, one object a layer: what is kept is the layer's *inputs*, under a stopped gradient.

    Keys and values of earlier tokens are made anew from them, so that the projections still learn from the memory.
    A call brings a segment, the mask says how far back it sees, as in `masks.segment_recurrent(segment, memory)`.

    >>> cache = SegmentCache(masks.segment_recurrent(segment=4, memory=6))
    >>> x = torch.randn(1, 12, 8)  # (batch, tokens, width): three segments
    >>> [cache.inputs(segment).shape[1] for segment in x.split(4, dim=1)]  # grows to memory and segment, and no further
    [4, 8, 10]
    >>> cache.length, cache.kept
    (12, 6)
    """

    def __init__(self, mask: Mask):
        checks.a(Mask, mask=mask)
        self.mask = mask
        self.length = 0  # tokens seen
        self.x = None  # (batch, kept, width)
        self._before = 0, None  # length and x before the latest `inputs`

    @property
    def kept(self) -> int:
        """How many tokens' inputs are kept."""
        return 0 if self.x is None else self.x.shape[1]

    def inputs(self, x: Tensor) -> Tensor:
        """The kept inputs and the new ones, (batch, kept + new, width): keys and values are made from both."""
        checks.a(Tensor, x=x)
        if x.ndim != 3:
            raise ValueError(f"x has shape {tuple(x.shape)}; (batch, new, width) is needed")
        if self.x is not None:
            _check_alike((x,), (self.x,))
        self._before = self.length, self.x
        self.length += x.shape[1]
        together = x if self.x is None else torch.cat((self.x, x), dim=1)
        keep = _still_needed(self.mask, self.length, together.shape[1])
        self.x = together[:, together.shape[1] - keep :].detach().clone()
        return together

    def attend(self, q, k, v, position: PositionEncoding | None = None) -> Tensor:
        """Attention of the new tokens' queries to the keys of all `inputs`; where it fails, these are forgotten."""
        try:
            checks.heads(q, k, v)
            start = self.length - q.shape[-2]
            if self.length < k.shape[-2]:
                raise ValueError(
                    f"k has {k.shape[-2]} tokens, and `inputs` has seen {self.length}; what it gives makes k and v"
                )
            out = attention(q, k, v, self.mask, position, *_ranges(start, self.length, k.shape[-2]))
        except BaseException:
            self.length, self.x = self._before
            raise
        self._before = self.length, self.x  # frees what was dropped
        return out


def _ranges(start: int, stop: int, keys: int) -> tuple[range, range]:
    """Positions of the queries start .. stop-1, and of the last `keys` keys."""
    return range(start, stop), range(stop - keys, stop)


def _check_alike(new: tuple[Tensor, ...], kept: tuple[Tensor, ...]) -> None:
    """New tokens differ from earlier ones in their number only: axis -2."""
    for x, before in zip(new, kept, strict=True):
        if x.shape[:-2] != before.shape[:-2] or x.shape[-1] != before.shape[-1]:
            raise ValueError(
                f"the new tokens have shape {tuple(x.shape)}, earlier ones {tuple(before.shape)}; all but their "
                "number must be as in earlier calls"
            )


def _still_needed(mask: Mask, length: int, kept: int) -> int:
    """How many of the last `kept` of `length` tokens a later query can need."""
    return min(kept, max(0, length - mask.span(length, masks.END)[0]))
