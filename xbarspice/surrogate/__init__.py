"""The surrogate: fast, differentiable solves of crossbars by compiled kernels."""

from xbarspice.surrogate.kernel_cache import choose_folder

choose_folder()
