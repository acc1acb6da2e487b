"""Multi-head attention on arrays: its projections; products of activations stay torch's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xbarspice.core.errors import broken_rule
from xbarspice.mapping import ArrayConfig
from xbarspice.nn.layers import CrossbarLayer
from xbarspice.nn.linear import CrossbarLinear
from xbarspice.nn.registration import register

__all__ = ["CrossbarMultiheadAttention"]

PROJECTIONS = ("q", "k", "v")


@register(nn.MultiheadAttention)
class CrossbarMultiheadAttention(CrossbarLayer):
    """`torch.nn.MultiheadAttention` with all four projections on arrays.

    Takes its arguments and `config`. Queries with keys, and weights with values, are products of
    two activations and stay digital.
    """

    weight_names = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")

    def __init__(self, *arguments: Any, config: ArrayConfig | None = None, **options: Any) -> None:
        super().__init__()
        self._hold(nn.MultiheadAttention(*arguments, **options), config or ArrayConfig())

    def _hold(self, layer: nn.MultiheadAttention, config: ArrayConfig) -> None:
        for name in (
            "embed_dim",
            "kdim",
            "vdim",
            "num_heads",
            "dropout",
            "batch_first",
            "head_dim",
            "add_zero_attn",
        ):
            setattr(self, name, getattr(layer, name))
        self._one_matrix = layer._qkv_same_embed_dim
        self._qkv_same_embed_dim = False  # torch's fused evaluation reads the weights itself
        for name in (*self.weight_names, "in_proj_bias", "bias_k", "bias_v"):
            self.register_parameter(name, getattr(layer, name))
        self.out_proj = CrossbarLinear.from_torch(layer.out_proj, config)
        for name in PROJECTIONS:
            self.add_matrix(name, config, layer.in_proj_bias)

    def to_torch(self) -> nn.Module:
        plain = nn.MultiheadAttention(
            self.embed_dim,
            self.num_heads,
            dropout=self.dropout,
            bias=self.parameter("in_proj_bias") is not None,
            add_bias_kv=self.parameter("bias_k") is not None,
            add_zero_attn=self.add_zero_attn,
            kdim=self.kdim,
            vdim=self.vdim,
            batch_first=self.batch_first,
            device="meta",
        )
        for name in (*self.weight_names, "in_proj_bias", "bias_k", "bias_v"):
            setattr(plain, name, self.parameter(name))
        plain.out_proj.weight = self.out_proj.parameter("weight")  # type: ignore[assignment]
        plain.out_proj.bias = self.out_proj.parameter("bias")  # type: ignore[assignment]
        return plain.train(self.training)

    def projections(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Weight (embed_dim, inputs) and bias (embed_dim,) of q, k and v."""
        if self._one_matrix:
            weights = self.parameter("in_proj_weight").chunk(3)
        else:
            weights = tuple(self.parameter(f"{name}_proj_weight") for name in PROJECTIONS)
        bias = self.parameter("in_proj_bias")
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        return dict(zip(PROJECTIONS, zip(weights, biases, strict=True), strict=True))

    def weight_matrices(self) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        for name, (weight, bias) in self.projections().items():
            yield name, weight[None], None if bias is None else bias[None]

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attention outputs and weights, arguments and shapes as in torch.

        Raises:
            InputError: `is_causal` without `attn_mask`.
        """
        batched = query.ndim == 3
        if not batched:
            query, key, value = (t[:, None] for t in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
        elif self.batch_first:
            query, key, value = (t.transpose(0, 1) for t in (query, key, value))
        if is_causal and attn_mask is None:
            raise broken_rule(
                "`is_causal` needs `attn_mask`, as in torch", "no attn_mask", "Pass the mask."
            )
        mask = _merge_masks(query, key, key_padding_mask, attn_mask, self.num_heads)
        out, weights = self._attend(query, key, value, mask)
        out = self.out_proj(out)
        if average_attn_weights:
            weights = weights.mean(dim=1)
        if not batched:
            return out[:, 0], weights[0] if need_weights else None
        return out.transpose(0, 1) if self.batch_first else out, weights if need_weights else None

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Joined heads (length, batch, embed_dim) and weights (batch, heads, length, sources)."""
        length, batch, _ = query.shape
        products = {n: self.linear(n, w, b) for n, (w, b) in self.projections().items()}
        q, k, v = products["q"](query), products["k"](key), products["v"](value)
        bias_k, bias_v = self.parameter("bias_k"), self.parameter("bias_v")
        if bias_k is not None:
            k = torch.cat([k, bias_k.expand(1, batch, -1)])
            v = torch.cat([v, bias_v.expand(1, batch, -1)])
            mask = None if mask is None else functional.pad(mask, (0, 1))
        q, k, v = (
            t.unflatten(-1, (self.num_heads, self.head_dim)).permute(1, 2, 0, 3) for t in (q, k, v)
        )
        if self.add_zero_attn:
            zero = k.new_zeros(batch, self.num_heads, 1, self.head_dim)
            k, v = torch.cat([k, zero], dim=2), torch.cat([v, zero], dim=2)
            mask = None if mask is None else functional.pad(mask, (0, 1))
        scores = (q * self.head_dim**-0.5) @ k.mT
        weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
        weights = functional.dropout(weights, self.dropout, self.training)
        heads = weights @ v
        return heads.permute(2, 0, 1, 3).reshape(length, batch, self.embed_dim), weights


def _merge_masks(
    query: Tensor, key: Tensor, padding: Tensor | None, mask: Tensor | None, heads: int
) -> Tensor | None:
    """What is added to the scores, broadcast to (batch, heads, length, sources)."""

    def additive(part: Tensor) -> Tensor:
        if part.dtype != torch.bool:
            return part.to(query.dtype)
        return query.new_zeros(part.shape).masked_fill(part, float("-inf"))

    out = None
    if mask is not None:
        out = additive(mask)
        out = out if out.ndim == 2 else out.unflatten(0, (-1, heads))
    if padding is not None:
        by_key = additive(padding)[:, None, None, :]
        out = by_key if out is None else out + by_key
    return out
