"""Answers of other programs for the tests of imports: `python -m tests.peer_arrays NAME`.

`crosssim` needs a checkout of github.com/sandialabs/cross-sim, named by the variable CROSSSIM, and
`aihwkit` the package of that name (1.1.0). What they write into tests/data/peers is our own
content, computed and saved by these programs.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "data" / "peers"
STYLES = {"balanced": (1, 1), "two_sided": (1, 2), "offset": (3, 1)}
"""Name -> CrossSim's core style and balanced style."""


def crosssim_parameters(style: str, *, pairs: bool = False) -> dict[str, Any]:
    """Parameters of CrossSim with wires; what they leave out has its default."""
    core, balanced = STYLES[style]
    wires = {"enable": True, "Rp_row": 3.0, "Rp_col": 7.0, "Rp_col_terminal": 20.0}
    return {
        "core": {"style": core, "balanced": {"style": balanced, "interleaved_posneg": pairs}},
        "simulation": {"Verr_th_mvm": 1e-10, "Niters_max_parasitics": 1000},
        "xbar": {
            "device": {"Rmin": 2000.0, "Rmax": 50000.0},
            "array": {"parasitics": wires},
        },
    }


def matrix() -> tuple[np.ndarray, np.ndarray]:
    """Weights (4, 6) and inputs (6,) within -1 and 1."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 6)), rng.uniform(-1, 1, 6)


def crosssim() -> None:
    """Products by CrossSim's circuit solver, of each style, apart and as pairs at one node."""
    sys.path.append(os.environ["CROSSSIM"])
    from simulator import AnalogCore, CrossSimParameters

    W, x = matrix()
    answers = {}
    for style in STYLES:
        for pairs in (False, True):
            parameters = CrossSimParameters(**crosssim_parameters(style, pairs=pairs))
            name = f"{style}{'_pairs' if pairs else ''}"
            answers[name] = (AnalogCore(W, parameters) @ x).tolist()
    made_by = "CrossSim 3.1, github.com/sandialabs/cross-sim at 0a2eb1e"
    text = json.dumps({"made_by": made_by, "products": answers}, indent=1)
    (FOLDER / "crosssim.json").write_text(text + "\n", "utf-8")


def aihwkit() -> None:
    """Saved models with their products without noise, and the currents of the circuit of a tile."""
    import torch
    from aihwkit.inference import PCMLikeNoiseModel
    from aihwkit.nn import AnalogLinear, AnalogLinearMapped, AnalogSequential
    from aihwkit.simulator.configs import TorchInferenceRPUConfig, TorchInferenceRPUConfigIRDropT
    from aihwkit.simulator.tiles.analog_mvm_irdrop_t import AnalogMVMIRDropT

    def config(kind: Any, g_max: float, g_min: float) -> Any:
        from aihwkit.inference.converter.conductance import SinglePairConductanceConverter

        out = kind()
        out.noise_model = PCMLikeNoiseModel(
            g_converter=SinglePairConductanceConverter(g_max=g_max, g_min=g_min)
        )
        out.forward.is_perfect = True
        return out

    torch.manual_seed(0)
    scaled = config(TorchInferenceRPUConfig, 25.0, 2.0)
    scaled.mapping.weight_scaling_omega = 0.8
    scaled.mapping.weight_scaling_columnwise = True
    scaled.mapping.learn_out_scaling = True
    scaled.mapping.out_scaling_columnwise = True
    tiled = config(TorchInferenceRPUConfig, 20.0, 0.0)
    tiled.mapping.max_input_size, tiled.mapping.max_output_size = 4, 3
    wired = config(TorchInferenceRPUConfigIRDropT, 25.0, 1.0)
    wired.mapping.max_input_size = wired.forward.ir_drop_segments = 8
    wired.forward.ir_drop_rs, wired.forward.is_perfect = 200.0, False
    models = {
        "scales": AnalogSequential(
            AnalogLinear(5, 4, rpu_config=scaled), AnalogLinear(4, 2, bias=False, rpu_config=scaled)
        ),
        "tiles": AnalogSequential(AnalogLinearMapped(7, 5, rpu_config=tiled)),
        "wires": AnalogSequential(AnalogLinear(5, 3, bias=False, rpu_config=wired)),
    }
    with torch.no_grad():
        models["scales"][0].analog_module.out_scaling_alpha.copy_(torch.tensor([1.5, 2, 0.5, 1]))
        models["scales"][1].analog_module.alpha.fill_(1.25)
    answers: dict[str, Any] = {}
    for name, model in models.items():
        torch.save(model.eval().state_dict(), FOLDER / f"aihwkit_{name}.pt")
        for k, layer in enumerate(model):
            x = torch.rand(layer.in_features) * 2 - 1
            weight, bias = layer.get_weights()
            entry = {"weight": weight.tolist(), "x": x.tolist()}
            if name != "wires":
                with torch.no_grad():
                    y = layer(x[None])[0] - (0 if bias is None else bias)
                entry["product"] = y.tolist()
            answers[f"{name}.{k}"] = entry
    tile = models["wires"][0].analog_module.tile
    x = torch.sign(torch.tensor(answers["wires.0"]["x"]))[None]  # pulses of the whole time
    x, weight = AnalogMVMIRDropT._pad_symmetric(x, tile.weight.detach().T, 8)
    pair, _ = wired.noise_model.g_converter.convert_to_conductances(weight)
    options = {"segments": 8, "r_s": 200.0, "phys_input_size": 8, "use_extension": False}
    down = AnalogMVMIRDropT._thev_equiv(x, [g[:, 0::2] for g in pair], **options)
    up = AnalogMVMIRDropT._thev_equiv(
        torch.flip(x, (-1,)), [torch.flip(g[:, 1::2], (0,)) for g in pair], **options
    )
    currents = torch.zeros(3)
    currents[0::2], currents[1::2] = (((V - 0.4) / R)[0, :, 0] for V, R in (down, up))
    answers["wires.0"]["microamperes"] = currents.tolist()
    text = json.dumps({"made_by": "aihwkit 1.1.0", "layers": answers}, indent=1)
    (FOLDER / "aihwkit.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    {"crosssim": crosssim, "aihwkit": aihwkit}[sys.argv[1]]()
