"""Assets and sensors that operate the platform: reconciliation, repair, housekeeping."""
