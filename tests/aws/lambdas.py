"""Functions of Lambda to divide traffic between."""

from __future__ import annotations

import io
import uuid
import zipfile

from tests.aws.places import client


def make_function(region: str = "eu-west-1", name: str = "") -> str:
    """Make a function with the versions 1 to 3, and give its name."""
    function = name or f"shop-{uuid.uuid4().hex[:8]}"
    role = client("iam").create_role(RoleName=f"role-{uuid.uuid4().hex[:8]}", AssumeRolePolicyDocument="{}")["Role"]
    aws = client("lambda", region)
    aws.create_function(
        FunctionName=function, Runtime="python3.12", Role=role["Arn"], Handler="shop.run", Code={"ZipFile": _code(0)}
    )
    for number in range(1, 4):
        aws.update_function_code(FunctionName=function, ZipFile=_code(number), Publish=True)
    return function


def _code(number: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("shop.py", f"def run(event, context):\n    return {number}\n")
    return packed.getvalue()
