"""Model folders in S3, their versions and runs in MLflow."""
