"""The experiment of Drolet et al. 2023 (arXiv:2305.18495): half moons on one 8x8 TiO2 array.

``python -m papers.drolet2023`` from the repository's root trains, transfers and reports it, with a
second case, digits on tiled arrays. `paper.toml` holds what the paper states, `history.toml` what
earlier runs measured, REPRODUCTION.md the last full run.
"""
