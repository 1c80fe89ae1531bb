"""Messages to people: a webhook in Slack's format and e-mail."""
