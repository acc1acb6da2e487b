"""Deployments: a model on arrays as one file, with everything that is needed to rebuild it.

`save` writes and `load` reads; `read` also tells what the file says of its inputs and origin. The
file holds the conductances of every array, how each matrix stands on them, what of the model is on
arrays, the original's hash and answers, and the digital part as a program of `torch.export`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbarspice.core.lazy import names_on_first_use

if TYPE_CHECKING:
    from xbarspice.deployment.cards import card_of_file
    from xbarspice.deployment.kinds import refuse_old
    from xbarspice.deployment.reading import Deployment, load, read
    from xbarspice.deployment.writing import save

__all__ = ["Deployment", "card_of_file", "load", "read", "refuse_old", "save"]

__getattr__ = names_on_first_use(
    __name__,
    {
        "Deployment": "xbarspice.deployment.reading",
        "card_of_file": "xbarspice.deployment.cards",
        "load": "xbarspice.deployment.reading",
        "read": "xbarspice.deployment.reading",
        "refuse_old": "xbarspice.deployment.kinds",
        "save": "xbarspice.deployment.writing",
    },
)
"""Cards in files of single arrays need no torch."""


def __dir__() -> list[str]:
    return sorted(__all__)
