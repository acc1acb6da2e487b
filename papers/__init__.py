"""Published experiments, repeated with the public API of xbarspice; no part of the wheel."""
