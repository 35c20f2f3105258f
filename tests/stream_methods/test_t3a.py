"""T3A: prototypes begin as the head's rows, and are means of sure features."""

from typing import Any

import torch
from torch.nn.functional import normalize
from torch.testing import assert_close

from da_framework.losses.entropy import row_entropy
from da_framework.stream_methods.t3a import T3A
from tests.stream_methods.models import CLASSES, Model, batches, run, small_model


def plain_model() -> Model:
    """Of a head with rows of unit length and no bias."""
    model = small_model()
    head: Any = model.network.head[0]
    with torch.no_grad():
        head.weight.copy_(normalize(head.weight))
        head.bias.zero_()
    return model


def test_with_only_the_head_s_rows_it_is_the_head() -> None:
    (x,) = batches(1)
    assert_close(T3A(plain_model(), supports=5).predict(x), plain_model()(x)[1].softmax(1))
    features = small_model()(x)[0]
    rows = normalize(next(small_model().network.head.parameters()))
    assert_close(T3A(small_model(), supports=5).classify(features), features @ rows.T)


def test_with_one_support_a_class_it_is_the_surest_sample_or_the_row() -> None:
    (x,) = batches(1, 40)
    method = T3A(small_model(), supports=1)
    rows = [(method.supports[n, 0].clone(), float(method.entropies[n, 0])) for n in range(CLASSES)]
    features, logits = (part.detach() for part in small_model()(x))
    entropies, label = row_entropy(logits), logits.argmax(1)
    method.predict_then_adapt(x)
    for number, (row, least) in enumerate(rows):
        here = label == number
        best = (features[here], entropies[here])
        if here.any() and float(best[1].min()) < least:
            row = normalize(best[0][best[1].argmin()], dim=0)
        assert_close(method.supports[number, 0], row)


def test_it_is_a_loop_by_hand() -> None:
    model = small_model()
    head: Any = model.network.head[0]
    rows = head.weight.detach()
    entropies = row_entropy(head(rows).detach())
    pools = [
        [(float(entropy), normalize(row, dim=0))]
        for row, entropy in zip(rows, entropies, strict=True)
    ]
    expected = []
    for x in batches():
        features, logits = (part.detach() for part in model(x))
        for feature, own in zip(features, logits, strict=True):
            entropy = float(row_entropy(own[None]))
            pools[int(own.argmax())].append((entropy, normalize(feature, dim=0)))
        pools = [sorted(pool, key=lambda pair: pair[0])[:4] for pool in pools]
        means = [torch.stack([feature for _, feature in pool]).sum(0) for pool in pools]
        centres = torch.stack([normalize(mean, dim=0) for mean in means])
        expected.append((features @ centres.T).softmax(1))
    assert_close(run(T3A(small_model(), supports=4), batches()), torch.cat(expected))


def test_the_order_within_a_batch_does_not_matter() -> None:
    (x,) = batches(1)
    one, other = T3A(small_model(), supports=3), T3A(small_model(), supports=3)
    assert_close(one.predict_then_adapt(x), other.predict_then_adapt(x.flip(0)).flip(0))
    assert_close(one.supports.sum(1), other.supports.sum(1))


def test_the_network_stays() -> None:
    method = T3A(small_model(), supports=3)
    run(method, batches())
    for ours, theirs in zip(method.model.parameters(), small_model().parameters(), strict=True):
        assert torch.equal(ours, theirs)
