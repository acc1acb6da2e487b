"""`netlist --whole`: the whole network of a model on arrays as one deck for ngspice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.deployment.opening import Opened

__all__ = ["write_whole"]


def write_whole(opened: Opened, dialect: str, name: str | None, folder: Path) -> dict[str, Any]:
    """Write network.cir: every read of every array and the neurons between them.

    Args:
        opened: the model with its inputs, points of the sweep.
        dialect: must be ngspice.
        name: of the design, before all names; None for one that follows from the arrays.
        folder: where to write.

    Raises:
        InputError: another dialect, or the model is no chain of Linear layers and activations.
    """
    from xbarspice.netlist import write_chain
    from xbarspice.nn.chain import chain_of

    if dialect != "ngspice":
        raise broken_rule(
            "a whole network is written for ngspice",
            f"--dialect {dialect}",
            "Leave --dialect out, or --whole for its arrays one by one.",
        )
    if len(opened.arguments) != 1:
        raise broken_rule(
            "a whole network in one deck has one input",
            f"{len(opened.arguments)} inputs",
            "Leave --whole out.",
        )
    x = opened.arguments[0].double().cpu().numpy()
    chain = chain_of(opened.circuit, x)
    text = write_chain(chain, x, name=name)
    (folder / "network.cir").write_text(text, encoding="utf-8")
    return {
        "sizes": list(chain.sizes),
        "activations": [s.activation.name if s.activation else None for s in chain.stages],
        "reads": len(chain.passes),
        "points": len(x),
        "netlists": ["network.cir"],
    }
