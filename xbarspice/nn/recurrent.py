"""Recurrent layers and cells on arrays, unrolled in time; one transfer serves a whole sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from xbarspice.core.errors import broken_rule
from xbarspice.mapping import ArrayConfig
from xbarspice.nn.layers import CrossbarLayer
from xbarspice.nn.registration import register

__all__ = [
    "CrossbarGRU",
    "CrossbarGRUCell",
    "CrossbarLSTM",
    "CrossbarLSTMCell",
    "CrossbarRNN",
    "CrossbarRNNCell",
]

State = tuple[Tensor, ...]
Step = Callable[[Tensor, Tensor, State], State]


def _as_state(hx: Any) -> State:
    return hx if isinstance(hx, tuple) else (hx,)


def _rnn_step(kind: str) -> Step:
    act = torch.relu if kind in ("relu", "RNN_RELU") else torch.tanh
    return lambda of_input, of_state, state: (act(of_input + of_state),)


def _lstm_step(of_input: Tensor, of_state: Tensor, state: State) -> State:
    i, f, g, o = (of_input + of_state).chunk(4, dim=-1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gru_step(of_input: Tensor, of_state: Tensor, state: State) -> State:
    r_in, z_in, n_in = of_input.chunk(3, dim=-1)
    r_state, z_state, n_state = of_state.chunk(3, dim=-1)
    r, z = torch.sigmoid(r_in + r_state), torch.sigmoid(z_in + z_state)
    n = torch.tanh(n_in + r * n_state)
    return ((1 - z) * n + z * state[0],)


def _as_torch(state: State) -> Any:
    """One tensor by itself, as torch returns the state of layers that have one."""
    return state if len(state) > 1 else next(iter(state))


class _Recurrent(CrossbarLayer):
    """What layers and cells share: parameters `weight_*` are matrices, `bias_*` their biases."""

    attributes: ClassVar[tuple[str, ...]]

    def __init__(self, *arguments: Any, config: ArrayConfig | None = None, **options: Any) -> None:
        super().__init__()
        self._hold(self.torch_type(*arguments, **options), config or ArrayConfig())

    def _hold(self, layer: Any, config: ArrayConfig) -> None:
        for name in self.attributes:
            setattr(self, name, getattr(layer, name))
        for name, parameter in layer._parameters.items():
            self.register_parameter(name, parameter)
        self.weight_names = tuple(n for n in layer._parameters if n.startswith("weight_"))
        for name in self.weight_names:
            self.add_matrix(name, config, self._bias_of(name))

    def _bias_of(self, weight: str) -> Tensor | None:
        return self._parameters.get("bias_" + weight.removeprefix("weight_"))

    def to_torch(self) -> nn.Module:
        options = {name: getattr(self, name) for name in self.attributes if name != "mode"}
        plain: Any = self.torch_type(**options, device="meta")
        for name in self._parameters:
            setattr(plain, name, self.parameter(name))
        return plain.train(self.training)

    def weight_matrices(self) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        for name in self.weight_names:
            bias = self._bias_of(name)
            yield name, self.parameter(name)[None], None if bias is None else bias[None]

    def _product_of(self, name: str) -> Callable[[Tensor], Tensor]:
        return self.linear(name, self.parameter(name), self._bias_of(name))


class _RecurrentLayer(_Recurrent):
    attributes = (
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
    )

    def step(self) -> Step:
        """One time step of the layer."""
        raise NotImplementedError

    def flatten_parameters(self) -> None:
        """As in torch; there is nothing to do here."""

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:  # noqa: A002
        """Outputs of all steps and the last states, shaped as in torch.

        Raises:
            InputError: a packed sequence.
        """
        if isinstance(input, PackedSequence):
            raise broken_rule(
                "a recurrent layer on arrays needs padded sequences",
                "a PackedSequence",
                "Unpack it with torch.nn.utils.rnn.pad_packed_sequence, and mask its outputs.",
            )
        batched = input.ndim == 3
        x = input if batched else input[:, None] if not self.batch_first else input[None]
        x = x.transpose(0, 1) if self.batch_first else x
        directions = 2 if self.bidirectional else 1
        states = self._first_states(x, hx, batched, directions)
        last: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                y, state = self._run(x, layer, direction, states[layer * directions + direction])
                outputs.append(y)
                last.append(state)
            x = torch.cat(outputs, dim=-1)
            if self.dropout and layer < self.num_layers - 1:
                x = nn.functional.dropout(x, self.dropout, self.training)
        y = x.transpose(0, 1) if self.batch_first else x
        final = tuple(torch.stack(part) for part in zip(*last, strict=True))
        if not batched:
            y = y[0] if self.batch_first else y[:, 0]
            final = tuple(part[:, 0] for part in final)
        return y, _as_torch(final)

    def _first_states(self, x: Tensor, hx: Any, batched: bool, directions: int) -> list[State]:
        count = self.num_layers * directions
        if hx is None:
            return [self._zeros(x)] * count
        parts = _as_state(hx)
        parts = parts if batched else tuple(part[:, None] for part in parts)
        return [tuple(part[k] for part in parts) for k in range(count)]

    def _zeros(self, x: Tensor) -> State:
        return (x.new_zeros(x.shape[1], self.hidden_size),)

    def _run(self, x: Tensor, layer: int, direction: int, state: State) -> tuple[Tensor, State]:
        """One layer in one direction over (steps, batch, inputs)."""
        suffix = f"l{layer}" + ("_reverse" if direction else "")
        of_input = self._product_of(f"weight_ih_{suffix}")(x)
        of_state = self._product_of(f"weight_hh_{suffix}")
        project = self._projection(suffix)
        step = self.step()
        steps = range(len(x))
        outputs: list[Tensor] = []
        for t in reversed(steps) if direction else steps:
            state = step(of_input[t], of_state(state[0]), state)
            if project is not None:
                state = (project(state[0]), *state[1:])
            outputs.append(state[0])
        return torch.stack(outputs[::-1] if direction else outputs), state

    def _projection(self, suffix: str) -> Callable[[Tensor], Tensor] | None:
        return None


@register(nn.RNN)
class CrossbarRNN(_RecurrentLayer):
    """`torch.nn.RNN` on arrays; takes its arguments and `config`."""

    attributes = (*_RecurrentLayer.attributes, "nonlinearity", "mode")

    def step(self) -> Step:
        return _rnn_step(self.mode)


@register(nn.LSTM)
class CrossbarLSTM(_RecurrentLayer):
    """`torch.nn.LSTM` on arrays, with projections; takes its arguments and `config`."""

    attributes = (*_RecurrentLayer.attributes, "proj_size")

    def step(self) -> Step:
        return _lstm_step

    def _zeros(self, x: Tensor) -> State:
        batch = x.shape[1]
        h = x.new_zeros(batch, self.proj_size or self.hidden_size)
        return h, x.new_zeros(batch, self.hidden_size)

    def _projection(self, suffix: str) -> Callable[[Tensor], Tensor] | None:
        return self._product_of(f"weight_hr_{suffix}") if self.proj_size else None


@register(nn.GRU)
class CrossbarGRU(_RecurrentLayer):
    """`torch.nn.GRU` on arrays; takes its arguments and `config`."""

    def step(self) -> Step:
        return _gru_step


class _RecurrentCell(_Recurrent):
    attributes = ("input_size", "hidden_size", "bias")
    states: ClassVar[int] = 1

    def step(self) -> Step:
        """One time step of the cell."""
        raise NotImplementedError

    def forward(self, input: Tensor, hx: Any = None) -> Any:  # noqa: A002 - the name in torch
        """The next state, shaped as in torch."""
        x = input if input.ndim == 2 else input[None]
        if hx is None:
            state: State = (x.new_zeros(len(x), self.hidden_size),) * self.states
        else:
            state = tuple(part if part.ndim == 2 else part[None] for part in _as_state(hx))
        of_input = self._product_of("weight_ih")(x)
        new = self.step()(of_input, self._product_of("weight_hh")(state[0]), state)
        new = new if input.ndim == 2 else tuple(part[0] for part in new)
        return _as_torch(new)


@register(nn.RNNCell)
class CrossbarRNNCell(_RecurrentCell):
    """`torch.nn.RNNCell` on arrays; takes its arguments and `config`."""

    attributes = (*_RecurrentCell.attributes, "nonlinearity")

    def step(self) -> Step:
        return _rnn_step(self.nonlinearity)


@register(nn.LSTMCell)
class CrossbarLSTMCell(_RecurrentCell):
    """`torch.nn.LSTMCell` on arrays; takes its arguments and `config`."""

    states = 2

    def step(self) -> Step:
        return _lstm_step


@register(nn.GRUCell)
class CrossbarGRUCell(_RecurrentCell):
    """`torch.nn.GRUCell` on arrays; takes its arguments and `config`."""

    def step(self) -> Step:
        return _gru_step
