"""The guide's method of one's own works as it stands."""

import re
from pathlib import Path
from typing import Any

import torch
import yaml

from da_framework.stream_methods.frozen import Source
from tests.stream_methods.models import batches, run, sgd, small_model

GUIDE = Path(__file__).parents[2] / "docs" / "pages" / "guides" / "streams.md"


def test_the_three_files_work_together() -> None:
    text = GUIDE.read_text("utf-8")
    code, test = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (config,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    names: dict[str, Any] = {"torch": torch}
    exec(code, names)
    exec(test, names)
    names["test_at_rate_0_it_is_the_source_model"](small_model(), batches())
    keys = {key: value for key, value in yaml.safe_load(config).items() if key[0] != "_"}
    assert keys.keys() == {"least", "optimizer"}
    method = names["Confident"](small_model(), optimizer=sgd(0.5), least=0.6)
    assert not torch.equal(run(method, batches()), run(Source(small_model()), batches()))
