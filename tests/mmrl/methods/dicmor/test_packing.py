import torch

from mmrl.methods.dicmor.packing import Packing

CHOSEN = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]).bool()


def test_chosen_rows_come_back_to_their_places_and_others_stay() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, 2)
    packing = Packing(CHOSEN)
    packed = packing.pack(x)
    assert packed.shape == (2, 2, 2)
    assert packing.chosen_groups is not None
    assert packing.chosen_groups.tolist() == [0, 2]
    torch.testing.assert_close(packed[0], x[0, [1, 3]])
    torch.testing.assert_close(packed[1, 0], x[2, 0])
    back = packing.unpack(packed * 2.0, x)
    torch.testing.assert_close(back, torch.where(CHOSEN[:, :, None], 2.0 * x, x))


def test_gradients_reach_chosen_rows_through_the_packing_and_others_directly() -> None:
    x = torch.ones(3, 4, 1, requires_grad=True)
    packing = Packing(CHOSEN)
    packing.unpack(packing.pack(x) * 5.0, x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad.squeeze(2), torch.where(CHOSEN, 5.0, 1.0))


def test_all_groups_need_no_choice() -> None:
    assert Packing(torch.eye(3).bool()).chosen_groups is None
