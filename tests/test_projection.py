"""Projections: the same numbers in every layout, and the weights held once."""

from __future__ import annotations

import pytest
import torch

from lmcli.engine import projection
from lmcli.engine.int8 import can_int8
from lmcli.engine.linear import Linear
from lmcli.engine.projection import ACTIVATIONS, Projection

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
LAYOUTS = ["float32", "bfloat16", "blocked", "int8"]


def linear(outputs: int, bias: bool, seed: int) -> Linear:
    torch.manual_seed(seed)
    layer = Linear(48, outputs, bias)
    layer.weight = torch.nn.Parameter(torch.randn(outputs, 48), requires_grad=False)
    if bias:
        layer.bias = torch.nn.Parameter(torch.randn(outputs), requires_grad=False)
    return layer


def prepared(layout: str, monkeypatch: pytest.MonkeyPatch, *parts: Linear, activation: str | None = None) -> Projection:
    made = Projection(*parts, activation=activation)
    if layout == "blocked" and not projection._can_block():
        pytest.skip("no layout of oneDNN's own here")
    if layout == "int8" and not can_int8():
        pytest.skip("no products in int8 here")
    if layout == "bfloat16":
        monkeypatch.setattr(projection, "_can_block", lambda: False)
    dtype = torch.bfloat16 if layout in ("bfloat16", "blocked") else torch.float32
    made.prepare(dtype, CPU, 8 if layout == "int8" else None)
    return made


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_computes_the_activation_of_the_product(
    layout: str, activation: str | None, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = linear(40, bias, 1)
    x = torch.randn(5, 48)
    expected = torch.nn.functional.linear(x, layer.weight, layer.bias)
    expected = expected if activation is None else ACTIVATIONS[activation](expected)
    y = prepared(layout, monkeypatch, layer, activation=activation)(x)
    assert y.shape == (5, 40)
    exact = layout == "float32"
    torch.testing.assert_close(y.float(), expected, atol=1e-5 if exact else 0.25, rtol=1e-5 if exact else 0.02)
    assert exact or not torch.equal(y.float(), expected)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_parts_stand_beside_each_other_in_their_order(layout: str, bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, x = (16, 32, 8), torch.randn(3, 48)
    together = prepared(layout, monkeypatch, *(linear(size, bias, size) for size in sizes))(x)
    alone = [prepared(layout, monkeypatch, linear(size, bias, size))(x) for size in sizes]
    torch.testing.assert_close(together, torch.cat(alone, 1), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_weights_it_was_made_of_are_given_up(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = linear(16, True, 1)
    prepared(layout, monkeypatch, layer)
    assert layer.weight.is_meta
    assert layer.bias is None


def test_a_single_fp32_weight_stays_where_it_is() -> None:
    layer = linear(16, True, 1)
    weight = layer.weight.data
    made = Projection(layer)
    made.prepare(torch.float32, CPU)
    weight.zero_()
    assert torch.equal(made(torch.randn(2, 48)), made(torch.randn(2, 48)))
