import numpy as np

from da_framework.estimator import Estimator


def test_maps_nothing() -> None:
    x = np.array([[0.0, 1.0], [2.0, 3.0]])
    model = Estimator("nearest_neighbor").fit(x, [0, 1], x + 0.1)
    np.testing.assert_array_equal(model.transform(x), x)
    assert model.predict([[0.9, 1.9], [1.1, 2.1]]).tolist() == [0, 1]
