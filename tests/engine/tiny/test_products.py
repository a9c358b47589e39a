"""Products with matrices that were cut into blocks are those with the whole matrices."""

import numpy as np
import pytest

from ftops.engine.tiny.config import SIZES, ModelShape
from ftops.engine.tiny.inference import BlockedWeights
from ftops.engine.tiny.parameters import Parameters, count_parameters, list_tensors


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n_rows", [1, 2, 32, 33, 128, 129])
def test_each_product_is_that_with_the_whole_matrix(size: str, n_rows: int) -> None:
    shape = ModelShape(1, SIZES[size].width, 323)  # a vocabulary that no block divides
    rng = np.random.default_rng(0)
    flat = rng.standard_normal(count_parameters(shape), dtype=np.float32)
    parameters = Parameters(shape, flat)
    weights = BlockedWeights(parameters)
    for name, dims in list_tensors(shape).items():
        if name == "embedding":
            continue
        rows = rng.standard_normal((n_rows, dims[0]), dtype=np.float32)
        for _ in range(2):  # the second time it is cut already
            product = weights.multiply(rows, name)
            np.testing.assert_allclose(product, rows @ parameters[name], rtol=1e-4, atol=2e-3)
