"""Write the conda environments that rules name from the lock files: the same versions, by conda and pip."""

from pathlib import Path

HERE = Path(__file__).parent
# pip would take a CUDA build of torch; conda-forge names its CPU build, so torch comes from there.
CONDA_TORCH = {"cpu": "pytorch-cpu"}


def conda_environment(name: str) -> str:
    """The text of envs/{name}.yaml."""
    pins = (HERE / f"{name}.lock").read_text().split()
    torch = next(pin for pin in pins if pin.startswith("torch=="))
    packages = ["python=3.11", "pip"]
    if name in CONDA_TORCH:
        pins.remove(torch)
        packages.append(f"{CONDA_TORCH[name]}={torch.removeprefix('torch==').split('+')[0]}")
    lines = [
        f"# Generated from {name}.lock by `make lock`.",
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        *(f"  - {package}" for package in packages),
        "  - pip:",
        *(f"      - {pin}" for pin in pins),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name in ("cpu", "gpu"):
        (HERE / f"{name}.yaml").write_text(conda_environment(name))
