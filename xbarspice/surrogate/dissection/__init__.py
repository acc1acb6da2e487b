"""Dissection: effective matrices of linear arrays by nested dissection, in compiled kernels."""
