"""The C-GCN: parity with the published network, its two forms, its loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from nsrfc.errors import InputError  # noqa: E402
from nsrfc.model.convert import cgcn_arguments, convert_cgcn  # noqa: E402
from nsrfc.networks.published.adjacency import DenseAdjacency, SparseAdjacency  # noqa: E402
from nsrfc.networks.published.cgcn import CGCN  # noqa: E402
from nsrfc.networks.published.losses import cgcn_loss, hardest_pairs, margin_loss, triplet_loss  # noqa: E402

Golden = dict[str, npt.NDArray[Any]]

ATOL = 1e-5


def load(shared: Path, name: str) -> Golden:
    with np.load(shared / "golden" / f"{name}.npz", allow_pickle=False) as stored:
        return dict(stored)


def tensors(golden: Golden, prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(np.asarray(value))
        for name, value in golden.items()
        if name.startswith(prefix)
    }


def published(golden: Golden) -> CGCN:
    state = tensors(golden, "sd.")
    model = CGCN(**cgcn_arguments(state))
    model.load_state_dict(convert_cgcn(state))
    return model


def graphs(golden: Golden) -> tuple[Tensor, DenseAdjacency, DenseAdjacency]:
    return (
        torch.from_numpy(golden["feature"]),
        DenseAdjacency(torch.from_numpy(golden["adj_local"])),
        DenseAdjacency(torch.from_numpy(golden["mask"])),
    )


def people(n: int, dimension: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return unit vectors (n, dimension) of n / 10 people, and the people."""
    generator = torch.Generator().manual_seed(seed)
    identity = torch.randint(0, max(1, n // 10), (n,), generator=generator)
    means = torch.randn(max(1, n // 10), dimension, generator=generator)
    x = means[identity] + 0.5 * torch.randn(n, dimension, generator=generator)
    return functional.normalize(x, dim=-1), identity


def lists(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    similarity, ids = (x @ x.T).topk(k)
    return ids.int(), similarity.clamp(min=0)


def random_network(dimension: int) -> CGCN:
    """Return a network in evaluation mode whose batch norms are not the identity."""
    torch.manual_seed(0)
    model = CGCN(dimension).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model


def test_embeddings_equal_the_reference(shared: Path) -> None:
    golden = load(shared, "cgcn_eval_d16")
    with torch.no_grad():
        z = published(golden).eval()(*graphs(golden)).numpy()
    np.testing.assert_allclose(z, golden["all_embedding"], atol=ATOL)
    center = z[np.arange(len(z)), golden["center_idx"]]
    np.testing.assert_allclose(center, golden["center_embedding"], atol=ATOL)


def test_activations_equal_the_reference(shared: Path) -> None:
    golden = load(shared, "cgcn_eval_d16")
    model = published(golden).eval()
    x, local, listed = graphs(golden)
    modules = {
        "bn0": model.input_norm,
        "Up_dim": model.residual,
        "trans_x": model.project,
        "classifier_out": model.output,
    }
    for number, stage in (("1", model.first), ("2", model.second)):
        modules[f"trans{number}"] = stage.transform
        modules[f"local_conv{number}"] = stage.local_conv
        modules[f"local_classifier{number}"] = stage.local_head
        modules[f"conv{number}"] = stage.conv
        modules[f"classifier{number}"] = stage.head
    seen: dict[str, Tensor] = {}
    for name, module in modules.items():

        def keep(_module: object, _inputs: object, output: Tensor, name: str = name) -> None:
            seen[name] = output

        module.register_forward_hook(keep)
    with torch.no_grad():
        model(x, local, listed)
    seen["local_conv1_A"] = local.normalized().weights
    seen["local_conv2_A"] = local.normalized().normalized().weights
    for number in "12":
        h = functional.normalize(seen[f"local_classifier{number}"], dim=-1)
        seen[f"conv{number}_A"] = listed.refine(h).weights
    expected = tensors(golden, "act.")
    assert seen.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(seen[name].numpy(), value.numpy(), atol=ATOL, err_msg=name)


def test_hardest_pairs_equal_the_reference_where_it_is_right(shared: Path) -> None:
    golden = load(shared, "cgcn_train_d16")
    identity = torch.from_numpy(golden["label"])
    with torch.no_grad():
        z = published(golden).train()(*graphs(golden))
        positive, negative = hardest_pairs(z @ z.mT, identity)
    np.testing.assert_allclose(z.flatten(0, 1).numpy(), golden["anchor"], atol=ATOL)

    for chosen, expected, wrong, gap in (
        (positive.numpy(), golden["pos_id"], golden["pos_is_other_identity"], golden["pos_gap"]),
        (negative.numpy(), golden["neg_id"], golden["neg_is_same_identity"], golden["neg_gap"]),
    ):
        clear = (wrong == 0) & (gap > 1e-6)
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(chosen[clear], expected[clear])

    same = golden["label"][:, :, None] == golden["label"][:, None, :]
    cosine = (z @ z.mT).numpy()
    np.testing.assert_allclose(
        np.take_along_axis(cosine, positive.numpy()[..., None], -1)[..., 0],
        np.where(same, cosine, np.inf).min(-1),
    )
    assert np.take_along_axis(same, positive.numpy()[..., None], -1).all()
    assert not np.take_along_axis(same, negative.numpy()[..., None], -1).any()
    # The reference goes wrong exactly where a face has no other image: ours is then the face itself.
    wrong = golden["pos_is_other_identity"] == 1
    assert wrong.any()
    np.testing.assert_array_equal(positive.numpy()[wrong], np.nonzero(wrong)[1])


def test_training_step_equals_the_reference_on_its_pairs(shared: Path) -> None:
    golden = load(shared, "cgcn_train_d16")
    model = published(golden).train()
    z = model(*graphs(golden))
    cosine = z @ z.mT
    to_positive = cosine.gather(-1, torch.from_numpy(golden["pos_id"])[..., None]).flatten()
    to_negative = cosine.gather(-1, torch.from_numpy(golden["neg_id"])[..., None]).flatten()
    triplet = triplet_loss(to_positive, to_negative)
    margin = margin_loss(to_positive, to_negative)
    assert triplet.item() == pytest.approx(float(golden["loss1"]), abs=ATOL)
    assert margin.item() == pytest.approx(float(golden["loss2"]), abs=ATOL)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    (triplet + margin).backward()
    gradients = convert_cgcn(tensors(golden, "grad."))
    parameters = dict(model.named_parameters())
    assert gradients.keys() == parameters.keys()
    for name, value in gradients.items():
        found = parameters[name].grad
        assert found is not None
        np.testing.assert_allclose(found.numpy(), value.numpy(), atol=ATOL, err_msg=name)
    optimizer.step()
    after = convert_cgcn(tensors(golden, "sd_after_step."))
    assert after.keys() == model.state_dict().keys()
    for name, value in after.items():
        np.testing.assert_allclose(
            model.state_dict()[name].numpy(), value.numpy(), atol=ATOL, err_msg=name
        )


def test_loss_is_that_of_the_equations() -> None:
    x, identity = people(40, 8)
    a, total = 0.9, 0.0
    cosine = (x @ x.T).numpy()
    for i in range(40):
        same = (identity == identity[i]).numpy()
        p, q = cosine[i, same].min(), cosine[i, ~same].max()
        total += max(0, q - p + 2 * a - 1) + max(0, q - (1 - a)) + max(0, a - p)
    assert cgcn_loss(x, identity).item() == pytest.approx(total / 40, abs=1e-6)


def test_loss_leaves_out_padding_and_what_has_no_partner() -> None:
    x, identity = people(30, 8)
    padded = torch.cat((x, torch.zeros(5, 8)))
    padding = torch.full((5,), -1)
    assert torch.equal(
        cgcn_loss(padded[None], torch.cat((identity, padding))[None]), cgcn_loss(x, identity)
    )

    one_person = torch.zeros(30, dtype=torch.int64)
    z = x.clone().requires_grad_()
    loss = cgcn_loss(z, one_person)
    loss.backward()
    p = (x @ x.T).amin(1)
    assert loss.item() == pytest.approx(functional.relu(0.9 - p).mean().item(), abs=1e-6)
    assert z.grad is not None
    assert z.grad.isfinite().all()

    strangers = torch.arange(30)
    positive, _ = hardest_pairs(x @ x.T, strangers)
    assert torch.equal(positive, strangers)


@pytest.mark.parametrize(("n", "dimension", "k"), [(60, 8, 20), (35, 5, 35)])
def test_dense_and_sparse_form_agree(n: int, dimension: int, k: int) -> None:
    x, identity = people(n, dimension)
    ids, similarity = lists(x, k)
    rows = torch.arange(n)[:, None]
    local, listed = torch.zeros(n, n), torch.zeros(n, n)
    local[rows, ids[:, :10].long()] = similarity[:, :10]
    listed[rows, ids.long()] = 1
    sparse = (
        SparseAdjacency.from_lists(ids[:, :10], similarity[:, :10]),
        SparseAdjacency.from_lists(ids),
    )
    dense = (DenseAdjacency(local[None]), DenseAdjacency(listed[None]))
    model = random_network(dimension)
    with torch.inference_mode():
        torch.testing.assert_close(model(x, *sparse), model(x[None], *dense)[0], atol=ATOL, rtol=0)

    model.train()
    gradients = []
    for adjacencies, batched in ((sparse, False), (dense, True)):
        model.zero_grad()
        z = model(x[None] if batched else x, *adjacencies)
        cgcn_loss(z, identity[None] if batched else identity).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, atol=ATOL, rtol=1e-3)


@pytest.mark.parametrize("rows", [1, 7, 50, 199, 1000])
def test_rows_at_a_time_do_not_show_in_the_result(rows: int) -> None:
    x, _ = people(200, 8)
    ids, similarity = lists(x, 20)
    local = SparseAdjacency.from_lists(ids[:, :10], similarity[:, :10])
    listed = SparseAdjacency.from_lists(ids)
    model = random_network(8)
    with torch.no_grad():
        whole = model(x, local, listed)
        torch.testing.assert_close(model(x, local, listed, rows=rows), whole, atol=1e-6, rtol=0)


def test_parts_of_the_lists_need_all_faces_in_training() -> None:
    x, _ = people(20, 4)
    listed = SparseAdjacency.from_lists(lists(x, 5)[0])
    with pytest.raises(ValueError, match="batch norms"):
        CGCN(4)(x, listed, listed, rows=10)


def test_absent_neighbors_count_for_nothing() -> None:
    x, _ = people(50, 8)
    ids, similarity = lists(x, 12)
    padded = torch.cat((ids, torch.full((50, 3), -1, dtype=torch.int32)), dim=1)
    padded[3] = -1
    ids[3] = -1
    shorter = SparseAdjacency.from_lists(ids, similarity)
    longer = SparseAdjacency.from_lists(padded, functional.pad(similarity, (0, 3), value=9))
    model = random_network(8)
    with torch.no_grad():
        z = model(x, longer, longer)
        assert torch.equal(z, model(x, shorter, shorter))
    assert z.isfinite().all()


def test_a_subgraph_does_not_depend_on_padding_or_batch(shared: Path) -> None:
    golden = load(shared, "cgcn_eval_d16")
    model = published(golden).eval()
    x, local, listed = graphs(golden)
    with torch.no_grad():
        together = model(x, local, listed)
        for b, n in enumerate(golden["node_num"]):
            alone = model(
                x[b : b + 1, :n],
                DenseAdjacency(local.weights[b : b + 1, :n, :n]),
                DenseAdjacency(listed.weights[b : b + 1, :n, :n]),
            )
            torch.testing.assert_close(alone[0], together[b, :n], atol=1e-6, rtol=0)


@pytest.mark.parametrize("dimension", [1, 6, 65])
def test_other_dimensions(dimension: int) -> None:
    x, _ = people(30, dimension)
    ids, similarity = lists(x, 9)
    z = random_network(dimension)(
        x, SparseAdjacency.from_lists(ids, similarity), SparseAdjacency.from_lists(ids)
    )
    assert z.shape == (30, 2 * dimension)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(30))


def test_weights_of_another_network_are_refused(shared: Path) -> None:
    state = tensors(load(shared, "lcenet"), "sd.")
    with pytest.raises(InputError, match=r"encoder\.layers\.0.* no weight of the published C-GCN"):
        convert_cgcn(state)
    with pytest.raises(InputError, match=r"no bn0\.weight"):
        cgcn_arguments(state)


def test_weights_saved_from_several_devices_are_read(shared: Path) -> None:
    state = tensors(load(shared, "cgcn_eval_d16"), "sd.")
    several = {f"module.{name}": value for name, value in state.items()}
    assert convert_cgcn(several).keys() == convert_cgcn(state).keys()
    assert cgcn_arguments(several) == {"dimension": 16}
