"""Deployments: a model on arrays as one file, with everything that is needed to rebuild it.

`save` writes and `load` reads; `read` also tells what the file says of its inputs and origin. The
file holds the conductances of every array, how each matrix stands on them, what of the model is on
arrays, the original's hash and answers, and the digital part as a program of `torch.export`.
"""

from xbarspice.deployment.reading import Deployment, card_of_file, load, read, refuse_old
from xbarspice.deployment.writing import save

__all__ = ["Deployment", "card_of_file", "load", "read", "refuse_old", "save"]
