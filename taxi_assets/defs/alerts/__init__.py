"""The sensor that sends alerts, and its outbox."""
