"""Eager code as it is and tuned."""

import numpy as np
import torch

from fleetsight.accel.measure.baselines import Eager, EagerSession, tuned

X = np.random.default_rng(0).random((2, 3, 8, 8), dtype=np.float32)


def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten()).eval()


def test_every_setting_answers_the_same_but_for_the_precision() -> None:
    with torch.no_grad():
        wanted = net()(torch.from_numpy(X)).numpy()
    for setting, tolerance in ((Eager(), 1e-6), (Eager(channels_last=True), 1e-5), (Eager(bf16=True), 0.05)):
        session = EagerSession(net(), (X,), setting=setting)
        (answer,) = session.run(X)
        assert answer.dtype == np.float32
        assert np.abs(answer - wanted).max() <= tolerance
        assert session.precision == ("bf16" if setting.bf16 else "f32")
        assert session.input_shape == (None, 3, 8, 8)
        assert [len(outputs) for outputs in session.map([X, (X,)])] == [1, 1]
        session.close()


def test_bfloat16_really_rounds() -> None:
    (exact,) = EagerSession(net(), (X,), setting=Eager()).run(X)
    (rounded,) = EagerSession(net(), (X,), setting=Eager(bf16=True)).run(X)
    assert np.abs(exact - rounded).max() > 0


def test_tuning_tries_bfloat16_only_where_the_chip_has_it() -> None:
    before = torch.get_num_threads()
    try:
        found = [tuned(net(), (X,), bf16=bf16, try_s=0.0) for bf16 in (False, True)]
    finally:
        torch.set_num_threads(before)
    assert not found[0].bf16
    assert all(setting.threads in {before, max(1, before // 2)} for setting in found)


def test_a_number_of_threads_is_set() -> None:
    before = torch.get_num_threads()
    try:
        EagerSession(net(), (X,), setting=Eager(threads=1))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
