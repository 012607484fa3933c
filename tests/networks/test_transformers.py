"""Pair network, LCENet and PCENet: parity with the published networks, and what a user relies on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from nsrfc.errors import InputError  # noqa: E402
from nsrfc.model.convert import (  # noqa: E402
    convert_lcenet,
    convert_pairnet,
    convert_pcenet,
    lcenet_arguments,
    pairnet_arguments,
    pcenet_arguments,
)
from nsrfc.networks.attention import Encoder, divisor_up_to  # noqa: E402
from nsrfc.networks.published.lcenet import LCENet  # noqa: E402
from nsrfc.networks.published.pairnet import PairNetwork, rank_code  # noqa: E402
from nsrfc.networks.published.pcenet import PCENet  # noqa: E402

Golden = dict[str, npt.NDArray[Any]]

ATOL = 1e-5


def load(shared: Path, name: str) -> Golden:
    with np.load(shared / "golden" / f"{name}.npz", allow_pickle=False) as stored:
        return dict(stored)


def tensors(golden: Golden, prefix: str) -> dict[str, Tensor]:
    """Return stored weights; large ones are stored as small integers and a scale."""
    found = {name: value for name, value in golden.items() if name.startswith(prefix)}
    for name, value in golden.items():
        if name.startswith("ternary."):
            weight = name.removeprefix("ternary.")
            found[prefix + weight] = value.astype(np.float32) * golden[f"ternary_scale.{weight}"]
    return {name.removeprefix(prefix): torch.from_numpy(value) for name, value in found.items()}


def unit(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return functional.normalize(torch.randn(*shape, generator=generator), dim=-1)


def published_pairs(golden: Golden) -> PairNetwork:
    state = tensors(golden, "sd.")
    model = PairNetwork(**pairnet_arguments(state), heads=4)
    model.load_state_dict(convert_pairnet(state))
    return model.eval()


def exchanged(model: PairNetwork, x: Tensor) -> Tensor:
    """Logits with attention over the batch, as in the published code, by exchanging the axes."""
    code = rank_code(x.shape[1], x)[:, None]
    return model.score(model.encoder(x.transpose(0, 1), code=code).transpose(0, 1))


def test_pair_network_equals_the_reference(shared: Path) -> None:
    golden = load(shared, "transformer_post1")
    model = published_pairs(golden)
    x = torch.from_numpy(golden["x"])
    np.testing.assert_allclose(rank_code(x.shape[1], x).numpy(), golden["pe"][0], atol=ATOL)
    logits = exchanged(model, x)
    np.testing.assert_allclose(logits.detach().numpy(), golden["logits"][..., 0], atol=ATOL)

    same = torch.from_numpy(golden["labels"][:, :1] == golden["labels"]).float()
    loss = functional.binary_cross_entropy_with_logits(logits, same)
    assert loss.item() == pytest.approx(float(golden["pair_loss"]), abs=ATOL)
    loss.backward()
    gradients = convert_pairnet(tensors(golden, "grad."))
    parameters = dict(model.named_parameters())
    assert gradients.keys() == parameters.keys()
    for name, value in gradients.items():
        found = parameters[name].grad
        assert found is not None
        np.testing.assert_allclose(found.numpy(), value.numpy(), atol=ATOL, err_msg=name)


def test_pair_network_attends_over_the_list_not_the_batch(shared: Path) -> None:
    golden = load(shared, "transformer_post1")
    model = published_pairs(golden)
    x = torch.from_numpy(golden["x"])
    changed = x.clone()
    changed[0, 5] = -changed[0, 5]
    with torch.no_grad():
        before, after = model(x), model(changed)
    torch.testing.assert_close(after[1:], before[1:], atol=1e-6, rtol=0)
    assert (after[0] - before[0]).abs().min() > 1e-5


def test_lcenet_equals_the_reference(shared: Path) -> None:
    golden = load(shared, "lcenet")
    state = tensors(golden, "sd.")
    model = LCENet(**lcenet_arguments(state), heads=int(golden["nhead"])).eval()
    assert model.k == golden["k"]
    model.load_state_dict(convert_lcenet(state))
    with torch.no_grad():
        logits = model(torch.from_numpy(golden["x"]))
    np.testing.assert_allclose(logits.numpy(), golden["logits"], atol=ATOL)
    np.testing.assert_allclose(logits.softmax(-1).numpy(), golden["scores"], atol=ATOL)


def test_pcenet_equals_the_reference(shared: Path) -> None:
    golden = load(shared, "pcenet")
    state = tensors(golden, "sd.")
    model = PCENet(**pcenet_arguments(state), heads=int(golden["nhead"])).eval()
    assert model.k == golden["k"]
    model.load_state_dict(convert_pcenet(state))
    x = torch.from_numpy(golden["x"]).unflatten(1, (2, -1))
    with torch.no_grad():
        logits = model(x)
    np.testing.assert_allclose(logits.numpy(), golden["logits"], atol=ATOL)
    np.testing.assert_allclose(logits.softmax(-1)[:, 1].numpy(), golden["prob"], atol=ATOL)


CASES: dict[str, tuple[Callable[[int, int], nn.Module], Callable[[int, int, int], Tensor]]] = {
    "pair network": (
        lambda dimension, _: PairNetwork(dimension, hidden=32),
        lambda b, dimension, k: unit(b, k, dimension),
    ),
    "lcenet": (
        lambda dimension, k: LCENet(dimension, k, hidden=32),
        lambda b, dimension, k: unit(b, k, dimension),
    ),
    "pcenet": (
        lambda dimension, k: PCENet(dimension, k, hidden=32, classifier_hidden=32),
        lambda b, dimension, k: unit(b, 2, k, dimension),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dimension", "k"), [(16, 8), (7, 5), (1, 2), (33, 1)])
def test_a_result_does_not_depend_on_the_rest_of_the_batch(case: str, dimension: int, k: int) -> None:
    torch.manual_seed(0)
    network, inputs = CASES[case]
    model, x = network(dimension, k).eval(), inputs(9, dimension, k)
    with torch.no_grad():
        together = model(x)
        alone = torch.cat([model(one[None]) for one in x])
        backwards = model(x.flip(0)).flip(0)
    assert together.shape[0] == 9
    assert together.isfinite().all()
    torch.testing.assert_close(alone, together, atol=1e-6, rtol=0)
    torch.testing.assert_close(backwards, together, atol=1e-6, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_absent_neighbors_are_not_attended_to(case: str) -> None:
    torch.manual_seed(0)
    network, inputs = CASES[case]
    model, x = network(16, 8).eval(), inputs(3, 16, 8)
    present = torch.ones(x.shape[:-1], dtype=torch.bool)
    present[1, ..., 5:] = False
    x[~present] = 0
    with torch.no_grad():
        logits = model(x, present)
        all_there = model(x, torch.ones_like(present))
        if case == "pair network":
            # Its tokens do not depend on the length of the list.
            torch.testing.assert_close(logits[1:2, :5], model(x[1:2, :5]), atol=1e-6, rtol=0)
        torch.testing.assert_close(model(x), all_there, atol=1e-6, rtol=0)
    torch.testing.assert_close(logits[0], all_there[0], atol=1e-6, rtol=0)
    assert not torch.allclose(logits[1], all_there[1], atol=1e-6)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_encoder_equals_that_of_torch(pre_norm: bool) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(24, 4, 48, dropout=0.0, batch_first=True, norm_first=pre_norm)
    expected = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    for parameter in expected.parameters():
        nn.init.normal_(parameter, std=0.3)
    encoder = Encoder(24, layers=2, heads=4, hidden=48, dropout=0.0, pre_norm=pre_norm)
    renamed = convert_lcenet({f"encoder.{name}": v for name, v in expected.state_dict().items()})
    encoder.load_state_dict({name.removeprefix("encoder."): v for name, v in renamed.items()})
    tokens = torch.randn(5, 7, 24)
    present = torch.rand(5, 7) < 0.7
    present[:, 0] = True
    found = encoder(tokens, present=present)
    torch.testing.assert_close(found, expected(tokens, src_key_padding_mask=~present), atol=ATOL, rtol=0)
    kept = encoder(tokens, present=present, kept=[0, 3])
    torch.testing.assert_close(kept, found[:, [0, 3]], atol=ATOL, rtol=0)


def test_dropout_is_for_training_only() -> None:
    torch.manual_seed(0)
    model = LCENet(16, 8, hidden=32, dropout=0.5)
    x = unit(2, 8, 16)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_heads_divide_the_width() -> None:
    assert divisor_up_to(336, 8) == 8
    assert divisor_up_to(180, 8) == 6
    assert divisor_up_to(13, 8) == 1
    assert divisor_up_to(2, 8) == 2


def test_weights_of_another_network_are_refused(shared: Path) -> None:
    lcenet = tensors(load(shared, "lcenet"), "sd.")
    pairs = tensors(load(shared, "transformer_post1"), "sd.")
    with pytest.raises(InputError, match=r"clf.* no weight of the published LCENet"):
        convert_lcenet(pairs)
    with pytest.raises(InputError, match=r"classifier.* no weight of the published pair network"):
        convert_pairnet(lcenet)
    with pytest.raises(InputError, match=r"no adjust_dim\.0\.weight"):
        pcenet_arguments(lcenet)
