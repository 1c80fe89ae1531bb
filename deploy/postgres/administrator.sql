-- In a container of its own: without a password the administrator gets in from inside the container alone.
ALTER ROLE CURRENT_USER PASSWORD NULL;
