"""Every ONNX operator that the import computes, against ONNX Runtime on hand-made graphs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from xbarspice.core.errors import InputError
from xbarspice.importers import load_model
from xbarspice.importers.onnx_layers import LAYERS
from xbarspice.importers.onnx_operators import OPERATORS

RANDOM = np.random.default_rng(7)


def real(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def positive(*shape):
    return RANDOM.uniform(0.1, 0.9, size=shape).astype(np.float32)


def whole(*values):
    return np.array(values, dtype=np.int64)


def write(path, nodes, inputs, constants, outputs, opset=20, **model):
    """A model file from nodes; `inputs` are arrays whose shapes are declared."""
    kinds = {name: helper.np_dtype_to_tensor_dtype(a.dtype) for name, a in inputs.items()}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(n, kinds[n], a.shape) for n, a in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(a, name) for name, a in constants.items()],
    )
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9, **model
    )
    inferred = onnx.shape_inference.infer_shapes(proto)
    kinds = {v.name: v.type for v in (*inferred.graph.value_info, *inferred.graph.output)}
    for value in proto.graph.output:
        kind = kinds.get(value.name)
        if kind is None or not kind.tensor_type.HasField("shape"):  # where onnx infers none
            kind = helper.make_tensor_type_proto(
                TensorProto.FLOAT, next(iter(inputs.values())).shape
            )
        value.type.CopyFrom(kind)
    onnx.save(proto, path)
    return path


def agree(path, inputs, bound=1e-5):
    """Import a file and compare every output with ONNX Runtime's; the model is returned."""
    model = load_model(path)
    x = tuple(inputs.values())
    ours, theirs = model.run(x), model.reference(x)
    ours = ours if isinstance(ours, tuple) else (ours,)
    theirs = theirs if isinstance(theirs, tuple) else (theirs,)
    assert len(ours) == len(theirs)
    for actual, expected in zip(ours, theirs, strict=True):
        assert actual.shape == expected.shape
        assert actual.dtype == expected.dtype
        scale = max(float(expected.double().abs().max()), 1e-30) if expected.numel() else 1.0
        assert torch.allclose(actual.double(), expected.double(), rtol=0, atol=bound * scale)
    return model


X = real(2, 3, 4)
IMAGE = real(2, 4, 6, 6)
ELEMENTWISE = [
    *[
        (kind, {}, [X], {})
        for kind in (
            "Abs",
            "Atan",
            "Ceil",
            "Cos",
            "Cosh",
            "Erf",
            "Exp",
            "Floor",
            "HardSwish",
            "Identity",
            "IsNaN",
            "Mish",
            "Neg",
            "Reciprocal",
            "Relu",
            "Round",
            "Sigmoid",
            "Sign",
            "Sin",
            "Sinh",
            "Softplus",
            "Softsign",
            "Tan",
            "Tanh",
            "Shape",
            "Size",
            "IsInf",
        )
    ],
    *[(kind, {}, [positive(2, 3)], {}) for kind in ("Acos", "Asin", "Log", "Sqrt")],
    *[
        (kind, {}, [real(2, 3, 4), real(3, 1)], {})
        for kind in (
            "Add",
            "Sub",
            "Mul",
            "Div",
            "Equal",
            "Greater",
            "GreaterOrEqual",
            "Less",
            "LessOrEqual",
            "Max",
            "Min",
            "Mean",
            "Sum",
            "PRelu",
        )
    ],
    *[(kind, {}, [real(2, 3) > 0, real(3) > 0], {}) for kind in ("And", "Or", "Xor")],
    ("Not", {}, [real(2, 3) > 0], {}),
    ("Pow", {}, [positive(2, 3), real(3)], {}),
    ("Div", {}, [whole(-7, 7, 5), whole(2, -2, 5)], {}),
    ("Mod", {}, [whole(-7, 7, 5), whole(3, -3, 2)], {}),
    ("Mod", {"fmod": 1}, [real(4), real(4)], {}),
    ("Celu", {"alpha": 0.7}, [X], {}),
    ("Elu", {"alpha": 0.7}, [X], {}),
    ("Selu", {}, [X], {}),
    ("Selu", {"alpha": 1.2, "gamma": 0.8}, [X], {}),
    ("LeakyRelu", {"alpha": 0.2}, [X], {}),
    ("ThresholdedRelu", {"alpha": 0.3}, [X], {}),
    ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}, [X], {}),
    ("Shrink", {"bias": 0.1, "lambd": 0.3}, [X], {}),
    ("Gelu", {}, [X], {}),
    ("Gelu", {"approximate": "tanh"}, [X], {}),
    ("Clip", {}, [X], {1: np.float32(-0.5), 2: np.float32(0.4)}),
    ("Softmax", {"axis": 1}, [X], {}),
    ("LogSoftmax", {"axis": -1}, [X], {}),
    ("Dropout", {}, [X], {}),
    ("Where", {}, [X > 0, X, real(4)], {}),
    ("Cast", {"to": TensorProto.INT64}, [X * 5], {}),
    ("Cast", {"to": TensorProto.FLOAT}, [whole(1, 2)], {}),
    ("Cast", {"to": TensorProto.BOOL}, [whole(1, 0)], {}),
    ("CastLike", {}, [whole(1, 0), X], {}),
]
SHAPES = [
    ("Reshape", {}, [X], {1: whole(0, -1)}),
    ("Flatten", {"axis": 2}, [X], {}),
    ("Flatten", {"axis": -1}, [X], {}),
    ("Flatten", {"axis": 0}, [X], {}),
    ("Transpose", {"perm": [2, 0, 1]}, [X], {}),
    ("Transpose", {}, [X], {}),
    ("Squeeze", {}, [real(2, 1, 3, 1)], {1: whole(-1)}),
    ("Squeeze", {}, [real(2, 1, 3, 1)], {}),
    ("Unsqueeze", {}, [X], {1: whole(-1, 0)}),
    ("Concat", {"axis": 1}, [X, real(2, 2, 4)], {}),
    ("Slice", {}, [X], {1: whole(0, -3), 2: whole(9, -1), 3: whole(1, -1), 4: whole(2, 1)}),
    ("Slice", {}, [X], {1: whole(-1), 2: whole(-9), 3: whole(1), 4: whole(-1)}),
    ("Slice", {}, [X], {1: whole(5), 2: whole(9), 3: whole(1)}),
    ("Gather", {"axis": 1}, [X], {1: np.array([[0, -1], [2, 1]])}),
    ("Gather", {"axis": -1}, [X], {1: np.array(2)}),
    ("GatherElements", {"axis": 1}, [X], {1: np.array([[[0, 1, 2, -1]]] * 2)}),
    ("Expand", {}, [real(3, 1)], {1: whole(2, 1, 4)}),
    ("Tile", {}, [X], {1: whole(1, 2, 3)}),
    ("CumSum", {"exclusive": 1, "reverse": 1}, [X], {1: np.array(1)}),
    ("CumSum", {}, [X], {1: np.array(-1)}),
    ("Trilu", {"upper": 0}, [X], {1: np.array(-1)}),
    ("Trilu", {}, [X], {}),
    ("DepthToSpace", {"blocksize": 2}, [IMAGE], {}),
    ("DepthToSpace", {"blocksize": 2, "mode": "CRD"}, [IMAGE], {}),
    ("SpaceToDepth", {"blocksize": 2}, [IMAGE], {}),
    ("ArgMax", {"axis": 1}, [X], {}),
    ("ArgMin", {"axis": -1, "keepdims": 0, "select_last_index": 1}, [np.round(X)], {}),
    (
        "Range",
        {},
        [np.array(1.0, np.float32), np.array(9, np.float32), np.array(2, np.float32)],
        {},
    ),
    ("Pad", {}, [X], {1: whole(0, 1, 2, 0, 0, 1), 2: np.float32(0.5)}),
    ("Pad", {}, [X], {1: whole(0, -1, 2, 0, 0, -1)}),
    ("Pad", {"mode": "reflect"}, [IMAGE], {1: whole(0, 0, 2, 1, 0, 0, 1, 3)}),
    ("Pad", {"mode": "edge"}, [IMAGE], {1: whole(0, 0, 2, 1, 0, 0, 1, 3)}),
    ("Pad", {"mode": "wrap"}, [IMAGE], {1: whole(0, 0, 2, 1, 0, 0, 1, 3)}),
    ("Pad", {}, [X], {1: whole(1, 2), 2: np.float32(1), 3: whole(-1)}),
    ("Einsum", {"equation": "bij,bkj->bik"}, [X, real(2, 5, 4)], {}),
    ("Resize", {}, [IMAGE], {2: np.array([1, 1, 2, 1.5], np.float32)}),
    ("Resize", {"mode": "linear"}, [IMAGE], {2: np.array([1, 1, 2, 1.5], np.float32)}),
    (
        "Resize",
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        [IMAGE],
        {3: whole(2, 4, 9, 4)},
    ),
    (
        "Resize",
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        [IMAGE],
        {3: whole(2, 4, 12, 3)},
    ),
    (
        "Resize",
        {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
        [IMAGE],
        {3: whole(2, 4, 1, 8)},
    ),
    *[
        (f"Reduce{kind}", {"keepdims": keep}, [positive(2, 3, 4)], {1: whole(-1, 0)})
        for keep in (0, 1)
        for kind in [
            "L1",
            "L2",
            "LogSum",
            "LogSumExp",
            "Max",
            "Mean",
            "Min",
            "Prod",
            "Sum",
            "SumSquare",
        ]
    ],
    ("ReduceSum", {}, [X], {}),
    ("ReduceSum", {"noop_with_empty_axes": 1}, [X], {}),
]
LARGE = [
    ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}, [IMAGE], {}),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, [IMAGE], {}),
    ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 2]}, [IMAGE], {}),
    ("MaxPool", {"kernel_shape": [3], "auto_pad": "SAME_LOWER", "strides": [2]}, [X], {}),
    ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 0]}, [IMAGE], {}),
    (
        "AveragePool",
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 0], "count_include_pad": 1},
        [IMAGE],
        {},
    ),
    ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, [IMAGE], {}),
    ("AveragePool", {"kernel_shape": [3], "auto_pad": "SAME_UPPER"}, [X], {}),
    ("GlobalAveragePool", {}, [IMAGE], {}),
    ("GlobalMaxPool", {}, [IMAGE], {}),
    ("LayerNormalization", {"axis": -1}, [X], {1: real(4), 2: real(4)}),
    ("LayerNormalization", {"axis": 1, "epsilon": 1e-3}, [X], {1: real(3, 4), 2: real(3, 4)}),
    ("LayerNormalization", {}, [X], {1: real(4)}),
    ("InstanceNormalization", {}, [IMAGE], {1: real(4), 2: real(4)}),
    ("LRN", {"size": 3, "alpha": 0.1, "beta": 0.6, "bias": 1.5}, [IMAGE], {}),
    ("LpNormalization", {"axis": 1, "p": 1}, [X], {}),
    ("LpNormalization", {}, [X], {}),
    ("MatMul", {}, [X, real(2, 4, 5)], {}),
    ("MatMul", {}, [X], {1: real(2, 4, 5)}),
    ("MatMul", {}, [X], {1: real(4)}),
    ("Gemm", {"alpha": 0.5, "beta": 2.0, "transA": 1}, [real(4, 3), real(4, 5), real(5)], {}),
]
CASES = [*ELEMENTWISE, *SHAPES, *LARGE]


@pytest.mark.parametrize(
    ("kind", "attributes", "inputs", "constants"),
    CASES,
    ids=[f"{k}-{n}" for n, (k, *_) in enumerate(CASES)],
)
def test_an_operator_computes_what_onnx_runtime_does(tmp_path, kind, attributes, inputs, constants):
    feed = {f"x{k}": array for k, array in enumerate(inputs)}
    fixed = {f"c{k}": np.asarray(array) for k, array in constants.items()}
    last = max([len(inputs) - 1, *constants])
    names = [*feed] + [f"c{k}" if k in constants else "" for k in range(len(inputs), last + 1)]
    node = helper.make_node(kind, names, ["y"], **attributes)
    agree(write(tmp_path / "m.onnx", [node], feed, fixed, ["y"]), feed, 2e-6)


def test_every_operator_of_the_table_is_compared_with_onnx_runtime_somewhere():
    elsewhere = {
        "BatchNormalization",
        "ConstantOfShape",
        "GroupNormalization",
        "RMSNormalization",
        "Split",
        "Swish",
        "TopK",
    }
    assert {kind for kind, *_ in CASES} | elsewhere >= set(OPERATORS) - {"Cast"}
    assert {"Conv", "ConvTranspose", "GRU", "LSTM", "RNN"} <= set(LAYERS)


@pytest.mark.parametrize("opset", [7, 9, 11, 12])
def test_softmax_before_opset_13_runs_over_all_later_axes(tmp_path, opset):
    feed = {"x": X}
    nodes = [
        helper.make_node("Softmax", ["x"], ["y"]),
        helper.make_node("LogSoftmax", ["x"], ["z"], axis=2),
    ]
    agree(write(tmp_path / "m.onnx", nodes, feed, {}, ["y", "z"], opset), feed)


def test_attributes_of_old_opsets_are_read_like_the_later_inputs(tmp_path):
    feed = {"x": real(2, 1, 4)}
    nodes = [
        helper.make_node("Squeeze", ["x"], ["a"], axes=[1]),
        helper.make_node("Unsqueeze", ["a"], ["b"], axes=[0, -1]),
        helper.make_node("Slice", ["a"], ["c"], starts=[1], ends=[3], axes=[1]),
        helper.make_node("ReduceMean", ["a"], ["d"], axes=[1], keepdims=0),
        helper.make_node("Pad", ["a"], ["e"], pads=[0, 1, 0, 2], value=0.5),
        helper.make_node("Clip", ["a"], ["f"], min=-0.3, max=0.2),
        helper.make_node("Split", ["a"], ["g", "h"], axis=1, split=[3, 1]),
        helper.make_node("Dropout", ["a"], ["i"], ratio=0.4),
    ]
    path = write(tmp_path / "m.onnx", nodes, feed, {}, list("bcdefghi"), 9)
    agree(path, feed)


def test_operators_of_several_outputs_and_computed_sizes(tmp_path):
    feed = {"x": real(2, 6, 4)}
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b", "c"], axis=1, num_outputs=3),
        helper.make_node("Split", ["x", "sizes"], ["d", "e"], axis=1),
        helper.make_node("TopK", ["x", "k"], ["f", "g"], axis=1, largest=0),
        helper.make_node("Shape", ["x"], ["s"], start=1),
        helper.make_node("ConstantOfShape", ["s"], ["h"]),
        helper.make_node(
            "ConstantOfShape",
            ["s"],
            ["i"],
            value=helper.make_tensor("v", TensorProto.INT64, [1], [3]),
        ),
        helper.make_node("Concat", ["minus", "last"], ["t"], axis=0),
        helper.make_node("Gather", ["s", "zero"], ["last"], axis=0),
        helper.make_node("Reshape", ["x", "t"], ["j"]),
        helper.make_node("Expand", ["one", "s"], ["k2"]),
    ]
    nodes[6], nodes[7] = nodes[7], nodes[6]
    constants = {
        "sizes": whole(2, 4),
        "k": whole(2),
        "minus": whole(-1),
        "zero": whole(0),
        "one": np.ones(1, np.float32),
    }
    outputs = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k2"]
    agree(write(tmp_path / "m.onnx", nodes, feed, constants, outputs), feed)


def test_newer_operators_of_opset_21_to_24(tmp_path):
    feed = {"x": IMAGE}
    node = helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2)
    constants = {"s": real(4), "b": real(4)}
    agree(write(tmp_path / "m.onnx", [node], feed, constants, ["y"], 21), feed)
    feed = {"x": X}
    node = helper.make_node("RMSNormalization", ["x", "s"], ["y"], epsilon=1e-3)
    agree(
        write(tmp_path / "m.onnx", [node], feed, {"s": real(4)}, ["y"], 23),
        feed,
    )
    swish = OPERATORS["Swish"](torch.tensor(X), alpha=1.5)
    assert np.allclose(swish, X / (1 + np.exp(-1.5 * X)), atol=1e-6)


def test_an_unknown_attribute_or_operator_is_refused_by_name(tmp_path):
    def load(*nodes, outputs=("y",)):
        path = write(tmp_path / "m.onnx", list(nodes), {"x": IMAGE}, {}, list(outputs))
        load_model(path)

    with pytest.raises(InputError, match="Hardmax, NonZero"):
        load(
            helper.make_node("Hardmax", ["x"], ["y"]),
            helper.make_node("NonZero", ["x"], ["z"]),
            outputs=("y", "z"),
        )
    with pytest.raises(InputError, match=r"MaxPool `y` with a second output"):
        load(
            helper.make_node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2]),
            outputs=("y", "i"),
        )
    with pytest.raises(InputError, match=r"DynamicQuantizeLinear.*quantised"):
        load(helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"]))
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode="cubic")
    constants = {"s": np.array([1, 1, 2, 2], np.float32)}
    path = write(tmp_path / "m.onnx", [node], {"x": IMAGE}, constants, ["y"])
    with pytest.raises(InputError, match="Resize `y` with mode cubic"):
        load_model(path)
