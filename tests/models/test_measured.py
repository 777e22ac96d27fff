"""The measured scores in the package are those of benchmarks/results, and of the bundled weights."""

from __future__ import annotations

import pytest
from helpers.scripts import load_script

from ls3d.errors import InputError
from ls3d.evaluation import PROTOCOLS
from ls3d.models import bundled_weights, list_models, measured_scores, measured_seconds, model_info, read_metadata

MEASURED = {name: measured_scores(name) for name in list_models() if measured_scores(name)}


def test_the_file_is_what_the_script_writes() -> None:
    script = load_script("measured_scores")
    assert script.SCORES.read_text() == script.content(), "run python scripts/measured_scores.py"


def test_all_networks_with_bundled_weights_and_the_baselines_were_measured() -> None:
    baselines = {"bilateral", "blend", "bicubic", "aligned_mean", "nlmeans", "identity", "minterpolate"}
    assert set(MEASURED) == set(bundled_weights()) | baselines
    assert measured_scores("vfi") == MEASURED["vfi_ls3d_plus_s"]
    assert measured_scores("r3d_18") == ()
    assert {name for name in list_models() if measured_seconds(name)} == set(MEASURED)
    assert measured_seconds("vfi") == measured_seconds("vfi_ls3d_plus_s")
    assert measured_seconds("r3d_18") is None
    with pytest.raises(InputError, match="bert"):
        measured_scores("bert")


@pytest.mark.parametrize("name", MEASURED)
def test_scores_are_of_the_bundled_weights_and_of_protocols_of_the_task(name: str) -> None:
    weights = bundled_weights().get(name)
    for score in MEASURED[name]:
        assert score.sha256 == (read_metadata(weights)["sha256"] if weights else None)
        protocol = PROTOCOLS[score.protocol]
        assert protocol.task == model_info(name).task
        assert score.complete == (score.clips == protocol.data_set.clips)
