"""Encrypted archives for the tests: of our making, bad ones included, and of the tool that publishers use."""

import base64
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

REQUIREMENTS = Path(__file__).with_name("easy-dataset-share.txt")


@pytest.fixture
def encrypt(tmp_path) -> Callable[[bytes], Path]:
    """Encrypt any content into `lanterns.zip.enc` with the password `wick`: the format, not the code under test."""

    def encrypt(content: bytes) -> Path:
        salt = os.urandom(16)
        key = PBKDF2HMAC(SHA256(), length=32, salt=salt, iterations=100_000).derive(b"wick")
        (tmp_path / "lanterns.zip.enc").write_bytes(salt + Fernet(base64.urlsafe_b64encode(key)).encrypt(content))
        return tmp_path / "lanterns.zip.enc"

    return encrypt


@pytest.fixture
def publish(encrypt) -> Callable[..., Path]:
    """Encrypt a zip of any members, harmful ones included."""

    def publish(members: dict[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as zipped:
            for name, content in members.items():
                zipped.writestr(name, content)
        return encrypt(buffer.getvalue())

    return publish


@pytest.fixture(scope="session")
def easy_dataset_share(pytestconfig) -> Callable[..., None]:
    """Run the real tool, in an environment of its own (it needs an old `cryptography`), kept in pytest's cache."""
    version = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    environment = pytestconfig.cache.mkdir("easy-dataset-share") / version
    if not (environment / "installed").exists():
        _install(environment)

    def run(*arguments: str | Path) -> None:
        tool = environment / "bin" / "easy-dataset-share"
        done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def _install(environment: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", environment], check=True)
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install", "--no-deps"]
    done = subprocess.run([*pip, "-r", REQUIREMENTS], capture_output=True, text=True, check=False)
    if done.returncode != 0 and "connection broken" in done.stderr and "CI" not in os.environ:
        pytest.skip("easy-dataset-share cannot be installed: no network")
    assert done.returncode == 0, done.stderr
    (environment / "installed").touch()
