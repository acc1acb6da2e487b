"""The experiment of Drolet et al. 2023 (arXiv:2305.18495): half moons on one 8x8 TiO2 array.

``python -m papers.drolet2023`` from the repository's root trains, transfers and reports it: recipes
and encodings on fresh draws of the half moons, digits on tiled arrays, and the setting as
published. `paper.toml` holds what the paper states, `settings.toml` what is done, `history.toml`
what was tried before, REPRODUCTION.md the last full run.
"""
