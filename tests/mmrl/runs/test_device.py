import torch

from mmrl.runs.device import computing_with


def test_threads_are_those_of_the_setting_and_put_back() -> None:
    before = torch.get_num_threads()
    with computing_with(3):
        assert torch.get_num_threads() == 3
        with computing_with(None):
            assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before
