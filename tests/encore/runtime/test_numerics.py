import pytest
import torch

from encore.runtime import numerics


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(numerics, "_worked_with", {})


def test_exact_sets_the_flags_and_gives_back_what_was_set():
    before = numerics.numerics()
    torch.backends.cudnn.benchmark = not before["cudnn_benchmark"]
    with pytest.raises(KeyError):
        with numerics.exact():
            assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
            assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark
            raise KeyError
    assert torch.backends.cudnn.benchmark is not before["cudnn_benchmark"]
    torch.backends.cudnn.benchmark = before["cudnn_benchmark"]
    assert torch.backends.cudnn.allow_tf32 is before["tf32_cudnn"]


def test_the_flags_of_the_work_are_remembered_after_it():
    assert numerics.numerics()["cudnn_deterministic"] is False

    @numerics.exact()
    def work():
        return torch.backends.cudnn.deterministic

    assert work() and work()
    assert torch.backends.cudnn.deterministic is False
    assert numerics.numerics() == dict(numerics.EXACT, deterministic_algorithms=False)
