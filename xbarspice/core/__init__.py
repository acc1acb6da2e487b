"""The core: problem, answer, devices' contract, registries, checks, files and errors."""
