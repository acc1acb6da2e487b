"""``.pt2`` archives: what torch exports is read, and a hostile file of each kind runs no code."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import pickle
import sys
import warnings
import zipfile

import pytest
import sympy
import torch
from torch import nn

from tests.unit.importers.test_onnx import MODELS, randomise
from tests.unit.importers.test_other_files import Creates
from xbarspice.core.errors import InputError
from xbarspice.importers import load_model
from xbarspice.importers.exported import load_exported
from xbarspice.importers.exported_expressions import check_expression


def export(path, module, x, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, x if isinstance(x, tuple) else (x,), **settings)
        torch.export.save(program, path)
    return program


@pytest.fixture(scope="module")
def fixed_model(tmp_path_factory):
    """A small model with a fixed batch of 3: (path, module)."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    module = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))
    export(path, randomise(module), torch.randn(3, 4))
    return path, module


class Shapes(nn.Module):
    """Sizes that depend on the batch by every operation that expressions may hold."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        n = x.shape[0]
        rows = self.head(torch.cat([x, x])).reshape(2 * n, -1)
        return torch.cat([rows, x.new_ones((n + 7) // 2, 2), x.new_ones(3 * n - 1, 2)])


# What torch exports.


@pytest.mark.parametrize("name", sorted(MODELS))
def test_an_exported_program_computes_what_the_module_does(tmp_path, name):
    make, shape = MODELS[name]
    torch.manual_seed(5)
    module, x = make(), torch.randn(4, *shape)
    module(x)
    path = tmp_path / "net.pt2"
    export(path, randomise(module), x, dynamic_shapes=({0: torch.export.Dim("batch")},))
    model = load_model(path)
    assert model.kind == "pt2"
    assert model.batch is None
    assert set(model.module.state_dict()) == set(module.state_dict())
    for points in (1, 2, 7):
        x = torch.randn(points, *shape)
        with torch.no_grad():
            assert torch.allclose(model.run(x), module(x), rtol=0, atol=1e-6)
        assert torch.equal(model.reference(x), model.run(x))
    double = model.in_double()
    exact = copy.deepcopy(module).double()(x.double()).detach()
    assert torch.allclose(model.run(x, double), exact, rtol=0, atol=1e-12)
    assert next(model.module.parameters()).dtype == torch.float32


@pytest.mark.parametrize("batch", [1, 3])
def test_a_fixed_batch_is_fed_in_groups(tmp_path, fixed_model, batch):
    path, module = tmp_path / "net.pt2", fixed_model[1]
    export(path, module, torch.randn(batch, 4))
    model = load_model(path)
    assert model.batch == batch
    assert model.inputs[0].shape == (batch, 4)
    for points in (1, 3, 8):
        x = torch.randn(points, 4)
        y = model.run(x)
        assert y.shape == (points, 2)
        assert torch.allclose(y, module(x), rtol=0, atol=1e-6)
    with pytest.raises(RuntimeError, match="to be equal to"):
        model.module(torch.randn(batch + 1, 4))  # the module itself takes only its own batch


def test_the_reference_is_an_untouched_copy(fixed_model):
    path, module = fixed_model
    model = load_model(path)
    x = torch.randn(3, 4)
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.zero_()
    assert torch.allclose(model.reference(x), module(x), rtol=0, atol=1e-6)
    assert not torch.allclose(model.run(x), module(x), rtol=0, atol=1e-3)
    assert not model.module.train().eval().training


def test_sizes_by_every_allowed_operation(tmp_path):
    module, path = Shapes(), tmp_path / "net.pt2"
    export(path, module, torch.randn(4, 3), dynamic_shapes=({0: torch.export.Dim("n", min=2)},))
    text = zipfile.ZipFile(path).read("net/models/model.json").decode()
    assert "FloorDiv" in text
    assert "Mul" in text
    x = torch.randn(9, 3)
    assert torch.allclose(load_model(path).run(x), module(x), rtol=0, atol=1e-6)


def test_a_program_inside_another_file_is_checked_alike(fixed_model):
    path, module = fixed_model
    program = load_exported(path.read_bytes())
    x = torch.randn(3, 4)
    assert torch.allclose(program.module()(x), module(x), rtol=0, atol=1e-6)
    with pytest.raises(InputError, match="zip archive"):
        load_exported(b"nothing")


def test_several_inputs_of_other_types(tmp_path):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(9, 4), nn.Linear(4, 2)

        def forward(self, tokens, scale):
            return self.head(self.table(tokens).mean(1)) * scale, tokens.sum(1)

    module, path = Words(), tmp_path / "net.pt2"
    tokens, scale = torch.randint(9, (3, 5)), torch.randn(3, 1)
    export(path, module, (tokens, scale))
    model = load_model(path)
    assert [spec.dtype for spec in model.inputs] == ["int64", "float32"]
    y, total = model.run({"tokens": tokens.numpy(), "scale": scale.double()})
    assert torch.allclose(y, module(tokens, scale)[0], rtol=0, atol=1e-6)
    assert torch.equal(total, tokens.sum(1))
    with pytest.raises(InputError, match="must be of type int64"):
        model.run((tokens + 0.5, scale))


def test_models_that_cannot_be_run_alike_are_refused(tmp_path, fixed_model):
    path = tmp_path / "net.pt2"
    module = copy.deepcopy(fixed_model[1]).train()
    export(path, module, torch.randn(3, 4))
    with pytest.raises(InputError, match=r"batch_norm.default in training mode.*model.eval"):
        load_model(path)
    export(path, nn.Sequential(nn.Linear(4, 2), nn.Dropout()).train(), torch.randn(3, 4))
    with pytest.raises(InputError, match=r"dropout.default in training mode"):
        load_model(path)

    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls.add_(1)
            return x * self.calls

    export(path, Counts(), torch.randn(3, 4))
    with pytest.raises(InputError, match="it writes to calls"):
        load_model(path)

    class Nested(nn.Module):
        def forward(self, pair):
            return pair[0] + pair[1]

    export(path, Nested(), ((torch.randn(3), torch.randn(3)),))
    with pytest.raises(InputError, match="passed by position"):
        load_model(path)


# Hostile files. Each holds code that would create the file `proof`.


def rewrite(source, target, change):
    """Copy an archive with its members, {name without the root: bytes}, changed."""
    with zipfile.ZipFile(source) as archive:
        parts = {n.split("/", 1)[-1]: archive.read(n) for n in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in parts.items():
            archive.writestr(f"net/{name}", data)
    return target


def edit(member, change):
    """A change of one JSON member."""

    def apply(parts):
        data = json.loads(parts[member])
        change(data)
        parts[member] = json.dumps(data).encode()

    return apply


PROGRAM = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"


def graph_of(program):
    return program["graph_module"]["graph"]


def pickled_weight(proof):
    def change(parts):
        config = json.loads(parts[WEIGHTS])
        entry = config["config"]["0.weight"]
        entry["use_pickle"] = True
        buffer = io.BytesIO()
        torch.save(Creates(proof), buffer)
        parts[f"data/weights/{entry['path_name']}"] = buffer.getvalue()
        parts[WEIGHTS] = json.dumps(config).encode()

    return change


def constant(name, use_pickle=True):
    def build(proof):
        def change(parts):
            entry = {"path_name": name, "is_param": False, "use_pickle": use_pickle}
            config = {"config": {"c": {**entry, "tensor_meta": None}}}
            parts[CONSTANTS] = json.dumps(config).encode()
            parts[f"data/constants/{name}"] = pickle.dumps(Creates(proof))

        return change

    return build


def sample(proof):
    def change(parts):
        buffer = io.BytesIO()
        torch.save(((Creates(proof),), {}), buffer)
        parts["data/sample_inputs/model.pt"] = buffer.getvalue()

    return change


def expression(place):
    def build(proof):
        text = f"__import__('pathlib').Path({str(proof)!r}).touch()"

        def change(program):
            if place == "range":
                program["range_constraints"][text] = {"min_val": 0, "max_val": 9}
            elif place == "size":
                sizes = graph_of(program)["tensor_values"]["input"]["sizes"]
                sizes[0] = {"as_expr": {"expr_str": text, "hint": {"as_int": 3}}}
            else:
                value = {"as_expr": {"expr_str": text, "hint": None}}
                graph_of(program)[f"sym_{place}_values"]["s"] = value

        return edit(PROGRAM, change)

    return build


def target(name):
    def build(proof):
        def change(program):
            node = copy.deepcopy(graph_of(program)["nodes"][0])
            node["target"] = name
            node["inputs"] = [{"name": "", "arg": {"as_string": f"touch {proof}"}, "kind": 1}]
            graph_of(program)["nodes"].append(node)

        return edit(PROGRAM, change)

    return build


def name_of(place):
    def build(proof):
        code = f"x=__import__('pathlib').Path({str(proof)!r}).touch()"

        def change(program):
            graph = graph_of(program)
            if place == "input":
                graph["tensor_values"][code] = graph["tensor_values"].pop("input")
                program["graph_module"]["graph"] = json.loads(
                    json.dumps(graph).replace('{"name": "input"}', json.dumps({"name": code}))
                )
            elif place == "node":
                graph["nodes"][0]["name"] = code
            elif place == "argument":
                signature = program["graph_module"]["module_call_graph"][0]["signature"]
                signature["forward_arg_names"] = [code]
            else:
                specs = program["graph_module"]["signature"]["input_specs"]
                specs[0]["parameter"]["parameter_name"] = f'0"); {code}; ("'

        return edit(PROGRAM, change)

    return build


def tree(kind):
    def build(proof):
        key = {"__enum__": True, "fqn": "evil_module_of_a_test:Kind", "name": "A"}

        def change(program):
            signature = program["graph_module"]["module_call_graph"][0]["signature"]
            leaf = {"type": None, "context": None, "children_spec": []}
            spec = {"type": kind, "context": json.dumps(key), "children_spec": [leaf]}
            signature["in_spec"] = json.dumps([1, spec])

        return edit(PROGRAM, change)

    return build


def member(name):
    return lambda proof: lambda parts: parts.update({name: pickle.dumps(Creates(proof))})


HOSTILE = {
    "a pickled weight": (pickled_weight, "is pickled"),
    "a pickled constant": (constant("tensor_0"), "is pickled"),
    "an undescribed constant": (constant("tensor_0", False), "is pickled"),
    "a custom object": (constant("custom_obj_0"), "custom or opaque objects"),
    "an opaque object": (constant("opaque_obj_0"), "custom or opaque objects"),
    "a path out of the archive": (constant("../tensor_0"), "must stay inside it"),
    "pickled examples": (sample, "are not executed"),
    "an expression as size": (expression("size"), "a shape expression"),
    "an expression as range": (expression("range"), "a shape expression"),
    "an expression as integer": (expression("int"), "a shape expression"),
    "an expression as truth": (expression("bool"), "a shape expression"),
    "an expression as real number": (expression("float"), "a shape expression"),
    "a call of the system": (target("torch.serialization.os.system"), "only operators of aten"),
    "a loader as operator": (target("torch.hub.load"), "only operators of aten"),
    "a method as operator": (target("_operator.methodcaller"), "only operators of aten"),
    "an extension as operator": (target("#own:run"), "only operators of aten"),
    "a custom operator": (target("torch.ops.own.run.default"), "only operators of aten"),
    "a file as operator": (target("torch.ops.aten.from_file.default"), "only operators of aten"),
    "a writer of files": (target("torch.ops.aten.save.default"), "only operators of aten"),
    "a text for an operator": (target("torch.ops.aten.relu.default"), "no mode of an operator"),
    "code as input name": (name_of("input"), "no identifier"),
    "code as node name": (name_of("node"), "no identifier"),
    "code as argument name": (name_of("argument"), "no identifier"),
    "code as parameter name": (name_of("parameter"), "a parameter path"),
    "an import by a dictionary": (tree("builtins.dict"), "no identifier"),
    "an import by a tuple": (tree("builtins.tuple"), "no identifier"),
    "an import by another type": (tree("collections.deque"), "must be tensors, tuples"),
    "a compiled library": (member("data/aotinductor/model/a.so"), "members data/aotinductor"),
    "a second model": (member("models/other.json"), "the members models/other.json"),
    "old weights": (member("data/weights/model.pt"), "the members data/weights/model.pt"),
    "an unknown member": (member("payload.bin"), "the members payload.bin"),
}


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_a_hostile_archive_is_refused_and_runs_no_code(tmp_path, monkeypatch, fixed_model, kind):
    proof = tmp_path / "proof"
    (tmp_path / "evil_module_of_a_test.py").write_text(
        f"import enum, pathlib\npathlib.Path({str(proof)!r}).touch()\nKind = enum.Enum('Kind', 'A')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    build, words = HOSTILE[kind]
    path = rewrite(fixed_model[0], tmp_path / "net.pt2", build(proof))
    with pytest.raises(InputError, match=words):
        load_model(path)
    assert not proof.exists()


def test_the_payloads_of_these_tests_are_payloads(tmp_path):
    proof = tmp_path / "proof"
    pickle.loads(pickle.dumps(Creates(proof)))  # noqa: S301  # what an importer must not do
    assert proof.exists()
    proof.unlink()
    sympy.sympify(f"__import__('pathlib').Path({str(proof)!r}).touch() or 1")
    assert proof.exists()


def test_guards_and_stack_traces_are_dropped(tmp_path, fixed_model):
    proof = tmp_path / "proof"
    code = f"__import__('pathlib').Path({str(proof)!r}).touch() or True"

    def change(program):
        program["guards_code"] = [code]
        for node in graph_of(program)["nodes"]:
            node["metadata"] = {"stack_trace": f"\n{code}\n", "custom": code, "from_node": code}

    path = rewrite(fixed_model[0], tmp_path / "net.pt2", edit(PROGRAM, change))
    model = load_model(path)
    x = torch.randn(3, 4)
    assert torch.allclose(model.run(x), fixed_model[1](x), rtol=0, atol=1e-6)
    assert load_exported(path)._guards_code == []
    assert not proof.exists()


def test_the_form_of_torch_until_2_7_is_read_or_refused(tmp_path, fixed_model):
    from torch._export.serde.serialize import serialize

    module, proof = fixed_model[1], tmp_path / "proof"
    artifact = serialize(torch.export.export(module, (torch.randn(3, 4),)))
    parts = {
        "version": b"8.15",
        "serialized_exported_program.json": artifact.exported_program,
        "serialized_state_dict.pt": artifact.state_dict,
        "serialized_constants.pt": artifact.constants,
        "serialized_example_inputs.pt": artifact.example_inputs,
    }
    from torch._export.serde.schema import SCHEMA_VERSION

    parts["version"] = ".".join(map(str, SCHEMA_VERSION)).encode()

    def write(**changed):
        path = tmp_path / "net.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in {**parts, **changed}.items():
                archive.writestr(name, data)
        return path

    x = torch.randn(3, 4)
    assert torch.allclose(load_model(write()).run(x), module(x), rtol=0, atol=1e-6)
    buffer = io.BytesIO()
    torch.save({"0.weight": Creates(proof)}, buffer)
    for name in ("serialized_state_dict.pt", "serialized_constants.pt"):
        with pytest.raises(InputError, match="not executed"):
            load_model(write(**{name: buffer.getvalue()}))
    with pytest.raises(InputError, match=r"the members code.py"):
        load_model(write(**{"code.py": b""}))
    assert not proof.exists()


@pytest.mark.parametrize(
    "text",
    [
        "s0",
        "2*s0 + 1",
        "(s0 - 3)//4",
        "Mul(Integer(2), Symbol('s77', positive=True, integer=True))",
        "FloorDiv(s0, 2)",
        "Max(1, s0)",
        "Eq(s0, 2)",
        "s0 >= 2",
        "-s0",
        "True",
    ],
)
def test_harmless_expressions_pass(text):
    assert check_expression(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "f(s0)",
        "s0.real",
        "s0[0]",
        "x",
        "__import__",
        "s0 ** 9",
        "9**9**9",
        "'a'",
        "lambda: 1",
        "[s0 for s0 in (1,)]",
        "Symbol('s0', commutative=f())",
        "Symbol(s0)",
        "Symbol('import os')",
        "Symbol('s0', cls=1)",
        "Max(s0, key=1)",
        "s0 if s0 else 1",
        "(s0 := 2)",
        "s0 << 9",
        "1.5",
        "s0; s1",
        "s0\ns1",
        "9" * 40,
        "(" * 500 + ")" * 500,
        "Integer('9**9')",
        "",
        "f'{s0}'",
        "-" * 1500 + "1",
        "E",
        "S",
        "Q",
    ],
)
def test_other_expressions_are_refused(text):
    with pytest.raises(InputError, match="a shape expression"):
        check_expression(text)


def test_how_deep_an_expression_may_be_does_not_depend_on_the_process():
    """Libraries raise the limit of recursion for themselves."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        with pytest.raises(InputError, match="a shape expression"):
            check_expression("-" * 1500 + "1")
        assert check_expression("+".join(["s0"] * 600))
    finally:
        sys.setrecursionlimit(limit)


def test_a_damaged_archive_is_one_clear_error(tmp_path, fixed_model):
    whole = fixed_model[0].read_bytes()
    path = tmp_path / "net.pt2"
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(3, 4)
    for cut in (10, 500, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError):
            load_model(path)
    weight = fixed_model[1][0].weight.detach().numpy().tobytes()
    flipped = bytes([weight[0] ^ 1]) + weight[1:]
    path.write_bytes(whole.replace(weight, flipped))
    with pytest.raises(InputError, match="Bad CRC"):
        load_model(path)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[int(torch.randint(len(whole), (1,), generator=generator))] ^= 0x55
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):  # any other error fails the test
            load_model(path).run(x)
    for member_name in (PROGRAM, WEIGHTS, CONSTANTS, "data/weights/weight_0"):
        with pytest.raises(InputError):
            load_model(rewrite(fixed_model[0], path, lambda parts, m=member_name: parts.pop(m)))
        with pytest.raises(InputError):
            load_model(rewrite(fixed_model[0], path, lambda p, m=member_name: p.update({m: b"[1"})))


def test_a_program_that_is_mixed_up_is_loaded_or_one_clear_error(tmp_path, fixed_model):
    """Any value of the program replaced by another kind: loading raises no other error."""
    program = json.loads(zipfile.ZipFile(fixed_model[0]).read("net/models/model.json"))
    paths = []

    def walk(value, path):
        paths.append(path)
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(item, (dict, list)):
                walk(item, (*path, key))
            else:
                paths.append((*path, key))

    walk(program, ())
    generator, refused = torch.Generator().manual_seed(4), 0
    for _ in range(80):
        place = paths[int(torch.randint(1, len(paths), (1,), generator=generator))]
        changed = copy.deepcopy(program)
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = [None, {}, [], "x", -1, 1e300, {"as_int": 2}][
            int(torch.randint(7, (1,), generator=generator))
        ]
        path = rewrite(
            fixed_model[0],
            tmp_path / "net.pt2",
            lambda parts, data=changed: parts.update({PROGRAM: json.dumps(data).encode()}),
        )
        try:
            load_model(path)
        except InputError:
            refused += 1
    assert refused > 40
