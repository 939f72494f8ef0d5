"""The identities that the contract gives."""

import pytest

from bpfcompat.report import identity
from bpfcompat.system import digest


@pytest.mark.parametrize(
    ("command", "expected", "binary", "invocation", "artifact"),
    [
        (
            "true", 0, None,
            "f7b3ac422e1d625022b815ff6852054d0907451edcda6676d11726d5b1642495",
            "211c763d66ec8102cbd0379144375a412656c6f8211065478f98c73201a57c5b",
        ),
        (
            "loader --self-test", 0, None,
            "47cccad9dda73bc62c2360e8ad236e349f85ef68990dcb87689b18e8cfc584d1",
            "dd7e8b9b62587037d7fa03f00b00f5dc09d68e1b654e93bfda38933a611f1451",
        ),
        (
            "x", 0, b"loader-v1",
            "bcfe0b24e4cdcbfa8c5ee923586a32e9bf66efb2d6db9094dec2c9a7c2e0a908",
            "16a6747c5534b60b112ff6637658fc8d11b94e8c9e96d135844edb0f71d16d23",
        ),
    ],
)  # fmt: skip
def test_identity_vectors_of_the_contract(command, expected, binary, invocation, artifact):
    found = identity.of_command(f"  {command}\n", expected, digest.of_bytes(binary) if binary else None)
    assert (found.invocation_sha256, found.artifact_sha256) == (invocation, artifact)
