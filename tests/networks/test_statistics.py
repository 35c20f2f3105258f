import pytest
import torch
from torch import nn
from torch.testing import assert_close

from da_framework.networks.statistics import still_statistics


def test_statistics_stay_and_the_pass_is_the_same() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    x = torch.randn(5, 2)
    before = {name: value.clone() for name, value in net.named_buffers()}
    with still_statistics(net):
        inside = net(x)
    assert_close(dict(net.named_buffers()), before)
    assert_close(inside, net(x))
    now = dict(net.named_buffers())["1.running_mean"]
    assert not torch.equal(now, before["1.running_mean"])


def test_in_evaluation_the_statistics_are_used() -> None:
    net = nn.Sequential(nn.BatchNorm1d(2)).eval()
    x = torch.randn(5, 2)
    expected = net(x)
    with still_statistics(net):
        assert_close(net(x), expected)


def test_they_follow_again_after_an_error() -> None:
    net = nn.BatchNorm1d(2)
    with pytest.raises(KeyError), still_statistics(net):
        raise KeyError
    assert net.track_running_stats
