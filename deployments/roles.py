"""What each role may do in S3: the policies of `deployments/iam/`, filled in for an installation.

job: the flows. approver: people who sign. auditor: reads the record. setup: makes the buckets.
"""

import json
from importlib import resources
from string import Template
from typing import Any

from deployments.buckets import BucketNames

ROLES = ("job", "approver", "auditor", "setup")


def role_policy(role: str, names: BucketNames, kms_key: str | None = None) -> dict[str, Any]:
    """The IAM policy of one of `ROLES`.

    Args:
        role: its name.
        names: the installation's buckets.
        kms_key: ARN of the key that the buckets are encrypted with; without one, the statement
            about it is left out.
    """
    text = (resources.files("deployments") / "iam" / f"{role}.json").read_text(encoding="utf-8")
    filled = Template(text).substitute(
        DATA=names.data, WORK=names.work, LEDGER=names.ledger, KMS_KEY=kms_key or ""
    )
    policy: dict[str, Any] = json.loads(filled)
    policy["Statement"] = [it for it in policy["Statement"] if kms_key or it["Sid"] != "UseTheKey"]
    return policy
