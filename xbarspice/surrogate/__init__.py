"""The surrogate: fast, differentiable solves of crossbars by compiled kernels."""
