"""Rules for what no job sees: a real S3 server takes them as `avss gc --lifecycle` has them."""

from tasks.cleaning import lifecycle_rules
from tasks.s3.client import new_client


def test_an_s3_server_takes_the_rules_and_gives_them_back(s3):
    client, bucket = new_client(), f"rules-{s3.unique}"
    client.create_bucket(Bucket=bucket)
    rules = lifecycle_rules(14)
    client.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": rules}
    )
    assert client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == rules
