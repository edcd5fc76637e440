"""The door to S3: clients, objects, content-addressed storage, locked writes."""
