"""Building blocks of the networks: an encoder, a batch norm, and checks of sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nsrfc.errors import shown

__all__ = [
    "Encoder",
    "LastAxisNorm",
    "beside_first",
    "check_numbers",
    "check_sizes",
    "check_switches",
    "divisor_up_to",
    "with_cosines",
]

MOST_LAYERS = 100

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
}


class _Form(NamedTuple):
    """Settings shared by the layers of an encoder."""

    dropout: float
    pre_norm: bool
    activation: Callable[[Tensor], Tensor]
    leaning: bool


class Encoder(nn.Module):
    """Transformer encoder over the tokens of each item.

    Vaswani et al., "Attention Is All You Need" (2017). One layer, post-norm, with a position
    code c that is added to queries and keys but not to values (as in DETR)::

        y = LayerNorm(t + Attention(t + c, t + c, t));   out = LayerNorm(y + FeedForward(y))

    and pre-norm::

        u = LayerNorm(t);   y = t + Attention(u + c, u + c, u);   out = y + FeedForward(LayerNorm(y))

    With ``leaning``, attention is biased by given similarities s of the tokens of an item: g s_ij is
    added to the attention logit of tokens i and j. Each head learns one g, initialised to 0, 5, 10, ...

    Parameters
    ----------
    width : int
        Length of a token.
    layers : int
    heads : int
        Maximum number of heads; the largest divisor of ``width`` up to it is used.
    hidden : int
        Width of the feed-forward layer.
    dropout : float
        Applied in training to attention weights, within the feed-forward layer, and to the output of
        both.
    pre_norm : bool
    final_norm : bool
        Whether a LayerNorm follows the last layer.
    activation : {"relu", "gelu"}
        Of the feed-forward layer.
    leaning : bool

    Raises
    ------
    ValueError
        If a size is not a whole number in its range, or ``dropout`` is not in 0..1.
    """

    def __init__(
        self,
        width: int,
        *,
        layers: int,
        heads: int,
        hidden: int,
        dropout: float,
        pre_norm: bool,
        final_norm: bool = False,
        activation: Literal["relu", "gelu"] = "relu",
        leaning: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(width=width, heads=heads, hidden=hidden)
        check_sizes(MOST_LAYERS, layers=layers)
        check_numbers(1, dropout=dropout)
        check_switches(pre_norm=pre_norm)
        heads = divisor_up_to(width, heads)
        form = _Form(dropout, pre_norm, _ACTIVATIONS[activation], leaning)
        self.layers = nn.ModuleList(_Layer(width, heads, hidden, form) for _ in range(layers))
        self.norm = nn.LayerNorm(width) if final_norm else nn.Identity()

    def forward(
        self,
        tokens: Tensor,
        *,
        present: Tensor | None = None,
        code: Tensor | None = None,
        similarity: Tensor | None = None,
        kept: list[int] | None = None,
    ) -> Tensor:
        """Encode tokens.

        Parameters
        ----------
        tokens : Tensor, shape (b, t, width)
        present : Tensor of bool, shape (b, t), optional
            Tokens that may be attended to; all by default, at least one per item.
        code : Tensor, shape (t, width), optional
            Position code; any shape that broadcasts to the tokens.
        similarity : Tensor, shape (b, t, t), optional
            For an encoder with ``leaning``.
        kept : list of int, optional
            Positions to return; the last layer does not compute the others.

        Returns
        -------
        Tensor, shape (b, t, width), or (b, len(kept), width)
        """
        # Lists are usually full and need no mask; filling one in takes half as long as the attention.
        present = None if present is None or present.all() else present
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            tokens = layer(tokens, present, code, similarity, kept if number == last else None)
        out: Tensor = self.norm(tokens)
        return out


class _Layer(nn.Module):
    """One layer of :class:`Encoder`."""

    def __init__(self, width: int, heads: int, hidden: int, form: _Form) -> None:
        super().__init__()
        self.heads, self.form = heads, form
        self.project = nn.Linear(width, 3 * width)  # queries, keys, values
        self.joined = nn.Linear(width, width)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)
        self.attention_norm = nn.LayerNorm(width)
        self.feed_forward_norm = nn.LayerNorm(width)
        # Not by torch.arange, which on the device "meta" loads a thousand modules.
        slopes = torch.tensor([5.0 * head for head in range(heads)])
        self.lean = nn.Parameter(slopes) if form.leaning else None
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.joined.bias)

    def forward(
        self,
        tokens: Tensor,
        present: Tensor | None,
        code: Tensor | None,
        similarity: Tensor | None,
        kept: list[int] | None,
    ) -> Tensor:
        """Apply attention, then the feed-forward layer."""
        source = self.attention_norm(tokens) if self.form.pre_norm else tokens
        out = tokens if kept is None else tokens[:, kept]
        mask = self._mask(present, similarity)
        out = out + self._dropped(self._attend(source, mask, code, kept))
        if self.form.pre_norm:
            return out + self._feed_forward(self.feed_forward_norm(out))
        out = self.attention_norm(out)
        normed: Tensor = self.feed_forward_norm(out + self._feed_forward(out))
        return normed

    def _mask(self, present: Tensor | None, similarity: Tensor | None) -> Tensor | None:
        """Return the attention mask: tokens to attend to (bool), or a bias of the logits."""
        listed = None if present is None else present[:, None, None, :]
        if self.lean is None or similarity is None:
            return listed
        bias = self.lean[:, None, None] * similarity[:, None]
        return bias if listed is None else bias.masked_fill_(~listed, -torch.inf)

    def _attend(
        self, source: Tensor, mask: Tensor | None, code: Tensor | None, kept: list[int] | None
    ) -> Tensor:
        if code is None and kept is None:
            query, key, value = self.project(source).chunk(3, dim=-1)
        else:
            located = source if code is None else source + code
            asking = located if kept is None else located[:, kept]
            parts = zip(self.project.weight.chunk(3), self.project.bias.chunk(3), strict=True)
            query, key, value = (
                functional.linear(read, *part)
                for read, part in zip((asking, located, source), parts, strict=True)
            )
        attended = functional.scaled_dot_product_attention(
            self._by_head(query),
            self._by_head(key),
            self._by_head(value),
            attn_mask=mask,
            dropout_p=self.form.dropout if self.training else 0.0,
        )
        out: Tensor = self.joined(attended.transpose(1, 2).flatten(2))
        return out

    def _by_head(self, tokens: Tensor) -> Tensor:
        b, t, width = tokens.shape
        return tokens.view(b, t, self.heads, width // self.heads).transpose(1, 2)

    def _feed_forward(self, tokens: Tensor) -> Tensor:
        return self._dropped(self.narrow(self._dropped(self.form.activation(self.widen(tokens)))))

    def _dropped(self, tokens: Tensor) -> Tensor:
        return functional.dropout(tokens, self.form.dropout, self.training)


def with_cosines(x: Tensor) -> Tensor:
    """Append to each unit vector its cosines with all vectors of its list.

    Parameters
    ----------
    x : Tensor, shape (b, k, d)

    Returns
    -------
    Tensor, shape (b, k, d + k)
    """
    return torch.cat((x, x @ x.mT), dim=-1)


def beside_first(tokens: Tensor) -> Tensor:
    """Concatenate the first token of each list with every token: [t_0 ; t_j].

    Parameters
    ----------
    tokens : Tensor, shape (b, k, width)

    Returns
    -------
    Tensor, shape (b, k, 2 width)
    """
    return torch.cat((tokens[:, :1].expand_as(tokens), tokens), dim=-1)


def divisor_up_to(number: int, most: int) -> int:
    """Return the largest divisor of ``number`` that is at most ``most``."""
    return next(divisor for divisor in range(min(most, number), 0, -1) if number % divisor == 0)


class LastAxisNorm(nn.BatchNorm1d):
    """Batch normalisation over the last axis; all axes before it count as rows."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each feature over all rows."""
        return super().forward(input.reshape(-1, self.num_features)).view(input.shape)


def check_sizes(most: int = 65_536, **sizes: object) -> None:
    """Refuse sizes that are not whole numbers in 1..``most``; the message names them.

    Raises
    ------
    ValueError
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= most:
            raise ValueError(f"{name} must be a whole number from 1 to {most}, got {shown(size)}")


def check_switches(**switches: object) -> None:
    """Refuse anything but true and false; the message names the setting.

    Raises
    ------
    ValueError
    """
    for name, switch in switches.items():
        if not isinstance(switch, bool):
            raise ValueError(f"{name} must be true or false, got {shown(switch)}")


def check_numbers(most: float, **numbers: object) -> None:
    """Refuse numbers that are not in 0..``most``; the message names them.

    Raises
    ------
    ValueError
    """
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= most:
            raise ValueError(f"{name} must be a number in 0..{most:g}, got {shown(number)}")
