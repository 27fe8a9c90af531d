"""What rules hand to their scripts can be read by what the digest of the script's code covers."""

from pathlib import Path

import yaml

from emflow.fingerprint import closure
from pipelines import ROOT
from planned import planned

OVERLAYS = [ROOT / f"config/experiments/{name}.yaml" for name in ("tiny_directions", "tiny_phase_transition")]


def test_a_script_reads_its_params_by_code_of_its_digest(tmp_path):
    """Objects of the package among params are pickled, and need their module: one outside the digest could change."""
    plans = planned(tmp_path, *(yaml.safe_load(overlay.read_text()) for overlay in OVERLAYS))
    package = ROOT / "src/emflow"
    needed = {(job["script"], module) for jobs in plans for job in jobs for module in job["pickled"]}
    assert len(needed) > 1  # there are such params
    for script, module in needed:
        covered = closure(ROOT / "workflow/scripts" / Path(script).name, package)
        assert package.parent / f"{module.replace('.', '/')}.py" in covered, f"{script} is handed objects of {module}"
